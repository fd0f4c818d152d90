"""Transforms through each other, through vmap, control flow, recomputation and implicit functions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

import adjoint as ad
from tests.torch_func import hessian, jvp, vjp
from tests.transform.cases import CASES, drawn, drawn_like, total

X, W = drawn(4, 3), drawn(3, seed=1)


def agree(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def f(x: Any, w: Any) -> Any:
    return torch.tanh(x * w).sum() * torch.exp(x[0] * w[1])


PAIRS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    'vmap of grad': (
        lambda: ad.vmap(ad.grad(f, (0, 1)), in_axes=(0, None))(X, W),
        lambda: torch.func.vmap(torch.func.grad(f, (0, 1)), (0, None))(X, W),
    ),
    'grad of vmap': (
        lambda: ad.grad(lambda w: (ad.vmap(f, in_axes=(0, None))(X, w) ** 2).sum())(W),
        lambda: torch.func.grad(lambda w: (torch.func.vmap(f, (0, None))(X, w) ** 2).sum())(W),
    ),
    'vmap of hessian': (
        lambda: ad.vmap(ad.hessian(f), in_axes=(0, None))(X, W),
        lambda: torch.func.vmap(hessian(f), (0, None))(X, W),
    ),
    'hessian of vmap': (
        lambda: ad.hessian(lambda w: ad.vmap(f, in_axes=(0, None))(X, w).sum())(W),
        lambda: hessian(lambda w: torch.func.vmap(f, (0, None))(X, w).sum())(W),
    ),
    'vmap of jvp': (
        lambda: ad.vmap(lambda x: ad.jvp(lambda w: f(x, w), (W,), (x,)))(X),
        lambda: torch.func.vmap(lambda x: jvp(lambda w: f(x, w), (W,), (x,)))(X),
    ),
    'vmap of vjp': (
        lambda: ad.vmap(lambda x: ad.vjp(torch.sin, x)[1](x * x)[0])(X),
        lambda: torch.func.vmap(lambda x: vjp(torch.sin, x)[1](x * x)[0])(X),
    ),
    'jacobian of vmap of jacobian': (
        lambda: ad.jacobian(lambda w: ad.vmap(ad.jacobian(lambda x: torch.sin(x * w)))(X))(W),
        lambda: torch.func.jacrev(
            lambda w: torch.func.vmap(torch.func.jacrev(lambda x: torch.sin(x * w)))(X)
        )(W),
    ),
    'vmap of vmap of grad': (
        lambda: ad.vmap(lambda x: ad.vmap(lambda s: ad.grad(f)(x * s, W))(W))(X),
        lambda: torch.func.vmap(lambda x: torch.func.vmap(lambda s: torch.func.grad(f)(x * s, W))(W))(X),
    ),
}


@pytest.mark.parametrize('name', PAIRS)
def test_transforms_compose_with_vmap(name: str):
    ours, theirs = PAIRS[name]
    agree(ours(), theirs())


@pytest.mark.parametrize('name', ['elementwise', 'network', 'structured', 'cumulative', 'indexing', 'solve'])
def test_per_example_gradients_are_those_of_torch(name: str):
    case = CASES[name]
    batch = [drawn_like(case.arguments, seed) for seed in (0, 50, 90)]
    if name == 'solve':
        batch = [(a + 5 * torch.eye(3, dtype=a.dtype), b) for a, b in batch]
    stacked = pytree.tree_map(lambda *leaves: torch.stack(leaves), *batch)
    argnums = tuple(range(len(case.arguments)))
    ours = ad.vmap(ad.grad(total(case.on_nodes), argnums))(*stacked)
    rows = [torch.func.grad(total(case.function), argnums)(*args) for args in batch]
    agree(ours, pytree.tree_map(lambda *leaves: torch.stack(leaves), *rows))


# A recurrence by scan, whose witness is the loop in Python.
def scanned(w: Any, xs: Any) -> Any:
    last, ys = ad.scan(lambda c, x: (torch.tanh(c * w + x), (c * x).sum()), w, xs)
    return last.sum() + (ys**2).sum()


def looped(w: Any, xs: Any) -> Any:
    c, total_ = w, 0.0
    for x in xs:
        total_ = total_ + (c * x).sum() ** 2
        c = torch.tanh(c * w + x)
    return c.sum() + total_


def chosen(w: Any, xs: Any) -> Any:
    return ad.cond(w[0] > 0, lambda v: torch.sin(v).sum(), lambda v: (v**3).sum(), w * xs[0])


def branched(w: Any, xs: Any) -> Any:
    v = w * xs[0]
    return torch.sin(v).sum() if w[0] > 0 else (v**3).sum()


def recomputed(w: Any, xs: Any) -> Any:
    return ad.checkpoint(lambda w, x: torch.tanh(w * x))(w, xs).sum() ** 2


def kept(w: Any, xs: Any) -> Any:
    return torch.tanh(w * xs).sum() ** 2


HOLDERS = {'scan': (scanned, looped), 'cond': (chosen, branched), 'checkpoint': (recomputed, kept)}


@pytest.mark.parametrize('name', HOLDERS)
def test_transforms_go_through_control_flow_and_recomputation(name: str):
    ours, theirs = HOLDERS[name]
    agree(ad.grad(ours, (0, 1))(W, X), torch.func.grad(theirs, (0, 1))(W, X))
    agree(ad.jvp(ours, (W, X), (W, X)), jvp(theirs, (W, X), (W, X)))
    agree(ad.hessian(ours)(W, X), hessian(theirs)(W, X))
    agree(ad.linearize(ours, W, X)[1](W, X), jvp(theirs, (W, X), (W, X))[1])
    agree(ad.hvp(ours, (W, X), (W, X)), jvp(torch.func.grad(theirs, (0, 1)), (W, X), (W, X))[1])
    agree(
        ad.vmap(ad.grad(ours), in_axes=(None, 0))(W, torch.stack([X, -X])),
        torch.stack([torch.func.grad(theirs)(W, x) for x in (X, -X)]),
    )
    agree(
        ad.grad(lambda w: ad.vmap(lambda x: ours(w, x))(torch.stack([X, -X])).sum())(W),
        torch.func.grad(theirs)(W, X) + torch.func.grad(theirs)(W, -X),
    )


@ad.custom_op(gradient=lambda ct, y, x: ct * y)
def exponential(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x)


def test_vmap_goes_through_own_ops_and_implicit_functions():
    agree(ad.vmap(ad.grad(lambda x: exponential(x).sum()))(X), torch.exp(X))
    root = ad.implicit(lambda x, a: x**3 + x - a, _cubic)
    ours = ad.vmap(ad.grad(lambda a: root(torch.zeros_like(a), a).sum()))(X)
    x = _cubic(X, X)
    agree(ours, 1 / (3 * x**2 + 1))


def _cubic(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    for _ in range(60):
        x = x - (x**3 + x - a) / (3 * x**2 + 1)
    return x


def test_jax_agrees():
    jax = pytest.importorskip('jax')
    jax.config.update('jax_enable_x64', True)
    jnp = jax.numpy

    def ours(x: Any) -> Any:
        return (torch.sin(x) * torch.exp(x * x)).sum() / (1 + torch.tanh(x[0]) ** 2)

    def theirs(x: Any) -> Any:
        return (jnp.sin(x) * jnp.exp(x * x)).sum() / (1 + jnp.tanh(x[0]) ** 2)

    at = jnp.asarray(W.numpy())
    for mine, other in (
        (ad.grad(ours), jax.grad(theirs)),
        (ad.hessian(ours), jax.hessian(theirs)),
        (ad.jacfwd(ad.grad(ours)), jax.jacfwd(jax.grad(theirs))),
        (lambda w: ad.jvp(ad.grad(ours), (w,), (w,))[1], lambda w: jax.jvp(jax.grad(theirs), (w,), (w,))[1]),
    ):
        agree(mine(W), torch.tensor(other(at).tolist(), dtype=torch.float64))
