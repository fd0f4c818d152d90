"""Every transform against torch, on the shared table of functions."""

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

import adjoint as ad
from tests.torch_func import jvp, vjp
from tests.transform.cases import CASES, drawn_like, seed_of, total

# The Jacobians of torch.func are those of real functions.
REAL = [name for name, case in CASES.items() if not case.is_complex and name != 'to complex']
SMALL = [name for name in REAL if name != 'convolution']


def agree(ours: Any, theirs: Any, rtol: float = 1e-10) -> None:
    """Assert that two trees have one structure, and equal leaves relative to the largest entry."""
    found, structure = pytree.tree_flatten(ours)
    expected, wanted = pytree.tree_flatten(theirs)
    assert structure == wanted
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        assert torch.allclose(a, b, rtol=0, atol=rtol * scale), (a - b).abs().max()


@pytest.mark.parametrize('name', CASES)
def test_vjp_is_that_of_torch(name: str):
    case = CASES[name]
    value, pullback = ad.vjp(case.on_nodes, *case.arguments)
    expected, by_torch = vjp(case.function, *case.arguments)
    agree(value, expected)
    for seed in (0, 100):
        cts = drawn_like(expected, seed_of(name) + seed)
        agree(pullback(cts), by_torch(cts))


@pytest.mark.parametrize('name', CASES)
def test_jvp_and_linearize_are_those_of_torch(name: str):
    case = CASES[name]
    tangents = drawn_like(case.arguments, seed_of(name))
    expected = jvp(case.function, case.arguments, tangents)
    agree(ad.jvp(case.on_nodes, case.arguments, tangents), expected)
    value, along = ad.linearize(case.on_nodes, *case.arguments)
    agree((value, along(*tangents)), expected)


@pytest.mark.parametrize('name', CASES)
def test_gradient_is_that_of_torch(name: str):
    case = CASES[name]
    argnums = tuple(range(len(case.arguments)))
    ours = ad.value_and_grad(total(case.on_nodes), argnums)(*case.arguments)
    value, grads = vjp(total(case.function), *case.arguments)
    agree(ours, (value, grads(torch.ones_like(value))))


@pytest.mark.parametrize('name', CASES)
def test_hessian_product_is_that_of_torch(name: str):
    case = CASES[name]
    tangents = drawn_like(case.arguments, seed_of(name))

    def gradient(*args: Any) -> Any:
        return vjp(total(case.function), *args)[1](torch.ones((), dtype=torch.float64))

    expected = jvp(gradient, case.arguments, tangents)[1]
    agree(ad.hvp(total(case.on_nodes), case.arguments, tangents), expected)


@pytest.mark.parametrize('mode', ['forward', 'reverse', None])
@pytest.mark.parametrize('name', REAL)
def test_jacobian_is_that_of_torch(name: str, mode: Any):
    case = CASES[name]
    argnums = tuple(range(len(case.arguments)))
    expected = torch.func.jacrev(case.function, argnums)(*case.arguments)
    agree(ad.jacobian(case.on_nodes, argnums, mode=mode)(*case.arguments), expected)


@pytest.mark.parametrize('name', SMALL)
def test_hessian_is_that_of_torch(name: str):
    case = CASES[name]
    argnums = tuple(range(len(case.arguments)))
    expected = torch.func.hessian(total(case.function), argnums)(*case.arguments)
    agree(ad.hessian(total(case.on_nodes), argnums)(*case.arguments), expected)


@pytest.mark.parametrize('name', SMALL)
def test_gauss_newton_product_is_that_of_torch(name: str):
    case = CASES[name]
    tangents = drawn_like(case.arguments, seed_of(name))

    def loss(y: Any) -> Any:
        return total(lambda y: pytree.tree_map(lambda leaf: torch.sin(leaf) * leaf, y))(y)

    y, moved = jvp(case.function, case.arguments, tangents)
    curved = jvp(torch.func.grad(loss), (y,), (moved,))[1]
    expected = vjp(case.function, *case.arguments)[1](curved)
    agree(ad.ggnvp(case.on_nodes, loss, case.arguments, tangents), expected)


@pytest.mark.parametrize('mode', ['forward', 'reverse', None])
def test_jacobian_of_a_complex_function_of_real_numbers(mode: Any):
    case = CASES['to complex']
    parts = torch.func.jacfwd(lambda x: torch.view_as_real(case.function(x)))(*case.arguments)
    agree(ad.jacobian(case.function, mode=mode)(*case.arguments), torch.complex(parts[:, 0], parts[:, 1]))


def test_jacobian_of_a_real_function_of_complex_numbers_has_gradients_for_rows():
    case = CASES['of complex']
    rows = [torch.func.grad(lambda z, x, i=i: case.function(z, x)[i])(*case.arguments) for i in range(3)]
    agree(ad.jacobian(case.function)(*case.arguments), torch.stack(rows))
    with pytest.raises(ad.NonDifferentiableError, match='half of the'):
        ad.jacfwd(case.function)(*case.arguments)


@pytest.mark.parametrize('mode', ['forward', 'reverse', None])
def test_jacobian_of_a_holomorphic_function_is_its_complex_derivative(mode: Any):
    case = CASES['complex']
    (z,) = case.arguments
    columns = [jvp(case.function, (z,), (unit,))[1] for unit in torch.eye(3, dtype=z.dtype)]
    ours = ad.jacobian(case.function, mode=mode, holomorphic=True)(z)
    agree(ours, torch.stack(columns, 1))
    with pytest.raises(ad.NonDifferentiableError, match='holomorphic=True'):
        ad.jacobian(case.function, mode=mode)(z)


Transform = Callable[[Any, Any], Callable[..., Any]]
"""From a namespace of transforms, ``ad`` or ``TORCH``, and a function to another function."""


def _linearized_by_torch(f: Any, *primals: Any) -> Any:
    # The linearize of torch traces with torch.fx, which warns, and nests with nothing. Its meaning is this.
    return f(*primals), lambda *tangents: jvp(f, primals, tangents)[1]


TORCH = types.SimpleNamespace(
    vjp=vjp,
    jvp=jvp,
    linearize=_linearized_by_torch,
    jacfwd=torch.func.jacfwd,
    jacrev=torch.func.jacrev,
    hessian=torch.func.hessian,
)


def _pulled(ns: Any, f: Any) -> Any:
    def pulled(*args: Any) -> Any:
        value, pullback = ns.vjp(f, *args)
        return pullback(value)  # a cotangent that depends on the arguments, too

    return pulled


def _pushed(ns: Any, f: Any) -> Any:
    return lambda *args: ns.jvp(f, args, args)[1]


def _linearized(ns: Any, f: Any) -> Any:
    return lambda *args: ns.linearize(f, *args)[1](*args)


def _gradient(ns: Any, f: Any) -> Any:
    return lambda *args: ns.vjp(total(f), *args)[1](torch.ones((), dtype=torch.float64))


def _forward(ns: Any, f: Any) -> Any:
    return ns.jacfwd(f)


def _reverse(ns: Any, f: Any) -> Any:
    return ns.jacrev(f)


def _curvature(ns: Any, f: Any) -> Any:
    return ns.hessian(total(f))


TRANSFORMS: dict[str, Transform] = {
    'vjp': _pulled,
    'jvp': _pushed,
    'linearize': _linearized,
    'grad': _gradient,
    'jacfwd': _forward,
    'jacrev': _reverse,
    'hessian': _curvature,
}
PRODUCTS = ('vjp', 'jvp', 'linearize', 'grad')
COMPOSED = [(a, b) for a in TRANSFORMS for b in TRANSFORMS if a in PRODUCTS or b in PRODUCTS]
THRICE = [
    ('grad', 'jvp', 'vjp'),
    ('jvp', 'grad', 'linearize'),
    ('vjp', 'vjp', 'vjp'),
    ('jacfwd', 'jvp', 'jvp'),
]
FEW = ['elementwise', 'structured', 'cholesky', 'where', 'as it is']


@pytest.mark.parametrize('chain', [*COMPOSED, *THRICE], ids=' of '.join)
@pytest.mark.parametrize('name', FEW)
def test_transforms_compose(name: str, chain: tuple[str, ...]):
    case = CASES[name]
    ours, theirs = case.on_nodes, case.function
    for transform in reversed(chain):
        ours = TRANSFORMS[transform](ad, ours)
        theirs = TRANSFORMS[transform](TORCH, theirs)
    agree(ours(*case.arguments), theirs(*case.arguments))
