"""Towers of transforms on one table of functions, against the same towers of torch.

Each function takes a vector and returns a scalar. Those with control flow of ours have a witness that torch
can follow: a loop in Python, or both branches and a choice.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.ops.linalg import solve
from tests.torch_func import hessian, jvp, vjp
from tests.transform.cases import drawn
from tests.transform.test_transforms import agree

X, V, W = drawn(3), drawn(3, seed=4), drawn(3, seed=9)
BATCH = drawn(4, 3, seed=2)
A = drawn(3, 3, seed=5)
A3 = A @ A.mT + 3 * torch.eye(3, dtype=A.dtype)
INVERSE = torch.inverse(A3)
INDEX, MASK = torch.tensor([2, 0, 2]), torch.tensor([True, False, True])
Scalar = Callable[[Any], Any]


def _scan(x: Any) -> Any:
    last, ys = ad.scan(lambda c, w: (torch.tanh(c * w + x), (c * w).sum()), x, A)
    return (last**2).sum() + (ys**3).sum()


def _scanned(x: Any) -> Any:
    c, total = x, x.sum() * 0
    for w in A:
        total = total + (c * w).sum() ** 3
        c = torch.tanh(c * w + x)
    return (c**2).sum() + total


def _fori(x: Any) -> Any:
    return ad.fori_loop(0, 4, lambda i, c: torch.sin(c) * x + c / 2, x).sum()


def _foried(x: Any) -> Any:
    c = x
    for _ in range(4):
        c = torch.sin(c) * x + c / 2
    return c.sum()


def _cond(x: Any) -> Any:
    return ad.cond(x[0] > 0, lambda v: torch.sin(v).prod(), lambda v: (v**3 * v[1]).sum(), x)


def _conded(x: Any) -> Any:
    taken, other = torch.sin(x).prod(), (x**3 * x[1]).sum()
    return torch.where(x[0] > 0, taken, other)


def _checkpoint(x: Any) -> Any:
    return ad.checkpoint(lambda v: torch.exp(torch.sin(v)) * v[0])(x).sum()


FUNCTIONS: dict[str, tuple[Scalar, Scalar]] = {
    name: (f, f)
    for name, f in {
        'product': lambda x: x.prod() * x[0],
        'quadratic': lambda x: x @ A @ x,
        'linear': lambda x: (A @ x).sum(),
        'constant': lambda x: (x * 0 + 2).sum(),
        'trigonometric': lambda x: (torch.sin(x) * torch.cos(2 * x)).sum() * x[1],
        'quotient': lambda x: (x / (1 + x * x)).sum() ** 2,
        'softplus': lambda x: torch.nn.functional.softplus(A @ x).sum(),
        'attention': lambda x: (torch.softmax(torch.outer(x, x) + A, -1) @ x).sum(),
        'logsumexp': lambda x: torch.logsumexp(A * x, 1).sum() * torch.tanh(x[2]),
        'norm': lambda x: torch.sqrt((x * x).sum() + 1) * x.var(),
        'indexing': lambda x: (x[INDEX] ** 2 * x[:1]).sum() + x[-1] ** 3,
        'masked': lambda x: torch.where(MASK, x**3, torch.exp(x)).sum() * x[1],
        'cumulative': lambda x: (torch.cumsum(x, 0) ** 3).sum() + torch.cumprod(x, 0).sum(),
        'shapes': lambda x: (torch.stack([x, x**2]).reshape(3, 2).mT @ A).flip(0).pow(2).sum(),
        'power': lambda x: ((x * x + 1) ** (x / 2)).sum(),
        'erf': lambda x: torch.erf(x).sum() * torch.log1p(x[0] ** 2),
        'maximum': lambda x: (torch.maximum(x, A[0]) ** 3).sum() * torch.relu(x + 2).sum(),
    }.items()
} | {
    'solve': (
        lambda x: (solve(A3 + torch.outer(x, x), x) * x).sum(),
        # By Sherman and Morrison, and not by torch.linalg.solve: torch 2.13 has four of its towers wrong.
        lambda x: 1 - 1 / (1 + x @ INVERSE @ x),
    ),
    'scan': (_scan, _scanned),
    'fori_loop': (_fori, _foried),
    'cond': (_cond, _conded),
    'checkpoint': (_checkpoint, lambda x: (torch.exp(torch.sin(x)) * x[0]).sum()),
}  # fmt: skip

T = torch.func


def _series(f: Scalar, x: Any) -> Any:
    """The third derivative of a function along a vector, by nested forward mode."""

    def along(g: Scalar) -> Scalar:
        return lambda y: jvp(g, (y,), (V,))[1]

    return along(along(along(f)))(x)


TOWERS: dict[str, tuple[Callable[[Scalar], Any], Callable[[Scalar], Any]]] = {
    'grad of vmap': (
        lambda f: ad.grad(lambda b: (ad.vmap(f)(b) ** 2).sum())(BATCH),
        lambda f: T.grad(lambda b: (T.vmap(f)(b) ** 2).sum())(BATCH),
    ),
    'vmap of grad': (lambda f: ad.vmap(ad.grad(f))(BATCH), lambda f: T.vmap(T.grad(f))(BATCH)),
    'jvp of vjp': (
        lambda f: ad.jvp(lambda x: ad.vjp(f, x)[1](x[0])[0], (X,), (V,)),
        lambda f: jvp(lambda x: vjp(f, x)[1](x[0])[0], (X,), (V,)),
    ),
    'vjp of jvp': (
        lambda f: ad.vjp(lambda x: ad.jvp(f, (x,), (x * V,))[1], X)[1](W[0])[0],
        lambda f: vjp(lambda x: jvp(f, (x,), (x * V,))[1], X)[1](W[0])[0],
    ),
    'hessian': (lambda f: ad.hessian(f)(X), lambda f: hessian(f)(X)),
    'vmap of hessian': (lambda f: ad.vmap(ad.hessian(f))(BATCH), lambda f: T.vmap(hessian(f))(BATCH)),
    'hvp': (lambda f: ad.hvp(f, (X,), (V,))[0], lambda f: jvp(T.grad(f), (X,), (V,))[1]),
    'linearize of grad': (
        lambda f: ad.linearize(ad.grad(f), X)[1](V),
        lambda f: jvp(T.grad(f), (X,), (V,))[1],
    ),
    'grad of the norm of a hessian': (
        lambda f: ad.grad(lambda x: (ad.hessian(f)(x) ** 2).sum())(X),
        lambda f: T.grad(lambda x: (hessian(f)(x) ** 2).sum())(X),
    ),
    'jacfwd of jacrev of vmap': (
        lambda f: ad.jacfwd(ad.jacrev(lambda x: ad.vmap(f)(BATCH * x)))(X),
        lambda f: T.jacfwd(T.jacrev(lambda x: T.vmap(f)(BATCH * x)))(X),
    ),
    'third derivative along a vector': (
        lambda f: ad.derivative(lambda t: f(X + t * V), 3)(torch.tensor(0.0, dtype=X.dtype)),
        lambda f: _series(f, X),
    ),
    'laplacian': (lambda f: ad.laplacian(f)(X), lambda f: hessian(f)(X).trace()),
    'sparse jacobian of vmap of grad': (
        lambda f: ad.jacobian(ad.vmap(ad.grad(f)), sparse=True)(BATCH).to_dense(),
        lambda f: T.jacrev(T.vmap(T.grad(f)))(BATCH),
    ),
}


@pytest.mark.parametrize('tower', TOWERS)
@pytest.mark.parametrize('name', FUNCTIONS)
def test_towers_are_those_of_torch(name: str, tower: str):
    (ours, theirs), (build, witness) = FUNCTIONS[name], TOWERS[tower]
    agree(build(ours), witness(theirs))
