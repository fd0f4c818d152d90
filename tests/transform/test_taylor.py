"""jet, derivative, laplacian and directional at function level, against torch.func and closed forms."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch

import adjoint as ad
from adjoint.autodiff.collapse import summed

F64 = torch.float64


def hessian_of(function: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    # Reverse over reverse: forward mode of torch scripts functions, which warns.
    return torch.func.jacrev(torch.func.jacrev(function, argnum), argnum)


def network(d: int, width: int, depth: int, outputs: int | None = None) -> Callable[[Any], Any]:
    generator = torch.Generator().manual_seed(0)
    sizes = [d, *[width] * depth, outputs or 1]
    weights = [
        torch.randn(a, b, generator=generator, dtype=F64) / math.sqrt(a) for a, b in itertools.pairwise(sizes)
    ]
    biases = [torch.randn(b, generator=generator, dtype=F64) for b in sizes[1:]]

    def apply(x: Any) -> Any:
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = torch.tanh(torch.matmul(x, w) + b)
        y = torch.matmul(x, weights[-1])
        return y if outputs else y.sum()

    return apply


def test_jet_of_nested_arguments_and_results() -> None:
    def function(state: dict[str, Any], k: Any, n: int) -> Any:
        return {'power': state['x'] ** n, 'pair': (k * state['x'], torch.exp(k))}

    x, k = torch.tensor([0.3, 0.7], dtype=F64), torch.tensor(0.2, dtype=F64)
    dx, d2 = torch.tensor([1.0, -0.5], dtype=F64), torch.tensor([0.25, 0.125], dtype=F64)
    value, found = ad.jet(function, ({'x': x}, k, 3), (({'x': dx}, {'x': d2}), (1.0,), None))
    assert torch.allclose(value['power'], x**3, rtol=1e-15)
    first, second = found
    assert torch.allclose(first['power'], 3 * x**2 * dx, rtol=1e-14)
    assert torch.allclose(second['power'], 3 * x**2 * d2 + 3 * x * dx**2, rtol=1e-14)
    assert torch.allclose(second['pair'][0], k * d2 + dx, rtol=1e-14)
    assert torch.allclose(second['pair'][1], k.exp() / 2, rtol=1e-14)


def test_series_go_through_control_flow() -> None:
    steps = torch.linspace(0, 1, 5, dtype=F64)

    def looped(x: Any) -> Any:
        def step(carry: Any, a: Any) -> Any:
            moved = torch.sin(carry) * x + a
            return moved, moved * moved

        last, squares = ad.scan(step, x, steps)
        return ad.cond(x > 0.3, lambda y: y * torch.exp(x), lambda y: y * y, last + squares.sum())

    def exact(x: Any) -> Any:
        carry, total = x, mpmath.mpf(0)
        for a in steps.tolist():
            carry = mpmath.sin(carry) * x + a
            total += carry * carry
        return (carry + total) * mpmath.exp(x)

    _, found = ad.jet(looped, (torch.tensor(0.7, dtype=F64),), ((1.0, None, None, None),))
    with mpmath.workdps(50):
        expected = mpmath.taylor(exact, mpmath.mpf(0.7), 4)[1:]
    for value, wanted in zip(found, expected, strict=True):
        assert abs(value.item() - wanted) < 1e-13 * abs(wanted)


@pytest.mark.parametrize('order', range(6))
def test_derivatives_of_every_order_are_those_of_torch(order: int) -> None:
    def function(x: Any) -> Any:
        return torch.sin(x) * torch.exp(-x * x)

    reference: Callable[[Any], Any] = function
    for _ in range(order):
        reference = torch.func.grad(reference)
    xs = torch.tensor([0.3, -0.7, 1.1], dtype=F64)
    expected = torch.stack([reference(x) for x in xs])
    assert torch.allclose(ad.derivative(function, order)(xs), expected, rtol=1e-12, atol=1e-13)


def test_derivatives_nest_with_other_transforms() -> None:
    x = torch.tensor(0.4, dtype=F64)
    third = ad.derivative(lambda x: ad.grad(torch.sin)(x), 2)(x)
    assert abs(third + x.cos()) < 1e-15
    fourth = ad.grad(ad.derivative(torch.sin, 3))(x)
    assert abs(fourth - x.sin()) < 1e-15


@pytest.mark.parametrize('d', [1, 4])
@pytest.mark.parametrize('outputs', [None, 3])
def test_a_laplacian_is_the_trace_of_the_hessian(d: int, outputs: int | None) -> None:
    function = network(d, 8, 3, outputs)
    x = torch.linspace(-1, 1, d, dtype=F64)
    hessian = hessian_of(function)(x)
    expected = hessian.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert torch.allclose(ad.laplacian(function)(x), expected, rtol=1e-12, atol=1e-13)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    'softmax': lambda x: torch.softmax(x, -1).prod(),
    'norm': lambda x: 1 / torch.sqrt((x * x).sum()),
    'outer': lambda x: torch.matmul(x.reshape(2, 2), x.reshape(2, 2)),
    'quotient': lambda x: x[0] * x[1] / (x[2] * x[3]),
    'linear': lambda x: x * 2 + x[0],
    'constant': lambda x: torch.ones_like(x),
    'where': lambda x: torch.where(x > 0, x**3, x**2),
    'power': lambda x: x[1] ** x[3],
}


@pytest.mark.parametrize('name', FUNCTIONS)
def test_laplacians_of_functions(name: str) -> None:
    x = torch.tensor([-0.4, 0.7, 1.2, 0.9], dtype=F64)
    hessian = hessian_of(FUNCTIONS[name])(x)
    expected = hessian.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert torch.allclose(ad.laplacian(FUNCTIONS[name])(x), expected, rtol=1e-12, atol=1e-13)


def test_a_laplacian_of_a_matrix_and_of_two_arguments() -> None:
    def function(a: Any, b: Any) -> Any:
        return torch.tanh(torch.matmul(a, b)).sum()

    a, b = torch.randn(3, 2, dtype=F64), torch.randn(2, dtype=F64)
    by_a = hessian_of(function, 0)(a, b).reshape(6, 6).trace()
    by_b = hessian_of(function, 1)(a, b).trace()
    assert torch.allclose(ad.laplacian(function)(a, b), by_a, rtol=1e-12)
    assert torch.allclose(ad.laplacian(function, (0, 1))(a, b), by_a + by_b, rtol=1e-12)


def test_a_laplacian_can_be_differentiated() -> None:
    function = network(3, 5, 2)
    x = torch.linspace(-1, 1, 3, dtype=F64)
    got = ad.grad(ad.laplacian(function))(x)
    expected = torch.func.grad(lambda x: hessian_of(function)(x).trace())(x)
    assert torch.allclose(got, expected, rtol=1e-11, atol=1e-12)


def test_the_second_coefficients_are_summed_before_the_weights() -> None:
    # Batched are the first derivatives only: one product with a batch for every layer but the last.
    d = 16
    graph = ad.laplacian(network(d, 8, 3)).graph(torch.zeros(d, dtype=F64))
    products = [n for n in ad.topological_sort(graph.outputs) if n.op.name == 'matmul']
    batched = [n for n in products if n.shape[0] == d and n.ndim == 2]
    assert len(batched) <= 3


def test_factors_that_are_the_same_for_all_axes_are_taken_out_of_the_sums() -> None:
    d = 16
    graph = ad.laplacian(network(d, 8, 3)).graph(torch.zeros(d, dtype=F64))
    batched = [n for n in ad.topological_sort(graph.outputs) if n.shape[:1] == (d,) and n.ndim == 2]
    names = sorted(n.op.name for n in batched if n.op.name != 'constant')
    # Of each layer a product with the weights and a square; a scaling between two layers.
    assert names == ['matmul'] * 3 + ['mul'] * 5


def test_sums_over_a_batch_move_through_linear_ops() -> None:
    v, w = ad.Variable('v', (3,), F64), ad.Variable('w', (3, 4), F64)
    vs = ad.Variable('vs', (5, 3), F64)
    u = ad.matmul(v * v, w)
    outputs = [u * 2 - u / ad.sum(w), u + 1, ad.exp(v) + v, ad.sum(w), v]
    found = summed(outputs, {v: vs})
    assert found[3] is None
    values = {w: torch.randn(3, 4, dtype=F64), vs: torch.randn(5, 3, dtype=F64)}
    got = iter(ad.Evaluator([f for f in found if f is not None]).run(values))
    for i, y in enumerate(outputs):
        if i != 3:
            each = [ad.Evaluator([y]).run({w: values[w], v: row})[0] for row in values[vs]]
            assert torch.allclose(next(got), sum(each), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize('indices', [(0,), (0, 1), (1, 1), (0, 0, 1), (0, 1, 2), (2, 2, 0, 1)])
def test_mixed_partial_derivatives(indices: tuple[int, ...]) -> None:
    function = network(3, 5, 2)
    x = torch.linspace(-1, 1, 3, dtype=F64)
    reference: Callable[[Any], Any] = function
    for i in indices:
        reference = lambda x, f=reference, i=i: torch.func.grad(f)(x)[i]  # noqa: E731
    got = ad.directional(function, x, [torch.eye(3, dtype=F64)[i] for i in indices])
    assert torch.allclose(got, reference(x), rtol=1e-10, atol=1e-11)


def test_directions_need_not_be_axes() -> None:
    x = torch.tensor([0.3, 0.8], dtype=F64)
    u, w = torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([0.5, 0.25], dtype=F64)
    function = lambda x: torch.sin(x[0] * x[1])  # noqa: E731
    expected = u @ hessian_of(function)(x) @ w
    assert torch.allclose(ad.directional(function, x, (u, w)), expected, rtol=1e-13)
    assert torch.equal(ad.directional(function, x, ()), function(x))


def test_what_does_not_fit_is_refused() -> None:
    x = torch.ones(2)
    with pytest.raises(ad.ShapeError, match='coefficient 1 of primal 0'):
        ad.jet(torch.sin, (x,), ((torch.ones(3),),))
    with pytest.raises(ad.TensorTypeError, match='was given 1 primals and 2 series'):
        ad.jet(torch.sin, (x,), ((x,), (x,)))
    with pytest.raises(ad.TensorTypeError, match='series are a tuple'):
        ad.jet(torch.sin, (x,), x)
    with pytest.raises(ad.TensorTypeError, match='a whole number of 0 or more, and got -1'):
        ad.derivative(torch.sin, -1)
    with pytest.raises(ad.TensorTypeError, match=r'a whole number of 0 or more, and got 1\.5'):
        ad.derivative(torch.sin, 1.5)
    with pytest.raises(ad.ShapeError, match='direction 1'):
        ad.directional(torch.sin, x, (x, torch.ones(3)))
    with pytest.raises(ad.TensorTypeError, match='directions are a tuple of tensors'):
        ad.directional(torch.sin, x, x)
