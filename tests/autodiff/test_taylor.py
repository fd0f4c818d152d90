"""Taylor mode: coefficients against mpmath, conventions at special points, depth, op counts, refusals."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch

import adjoint as ad
from adjoint.ops.gamma import digamma, lgamma
from adjoint.ops.linalg import solve_matrix

ORDER = 6
F64 = torch.float64

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], float]] = {
    'exp': (ad.exp, mpmath.exp, 0.3),
    'expm1': (ad.expm1, mpmath.expm1, 0.3),
    'log': (ad.log, mpmath.log, 0.7),
    'log1p': (ad.log1p, mpmath.log1p, 0.7),
    'sqrt': (ad.sqrt, mpmath.sqrt, 0.7),
    'rsqrt': (ad.rsqrt, lambda x: 1 / mpmath.sqrt(x), 0.7),
    'reciprocal': (ad.reciprocal, lambda x: 1 / x, 0.7),
    'sin': (ad.sin, mpmath.sin, 0.7),
    'tan': (ad.tan, mpmath.tan, 0.7),
    'tanh': (ad.tanh, mpmath.tanh, 0.7),
    'atan': (ad.atan, mpmath.atan, 0.7),
    'asin': (ad.asin, mpmath.asin, 0.3),
    'acosh': (ad.acosh, mpmath.acosh, 1.7),
    'erf': (ad.erf, mpmath.erf, 0.4),
    'sigmoid': (ad.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 0.4),
    'lgamma': (lgamma, mpmath.loggamma, 2.3),
    'digamma': (digamma, mpmath.digamma, 2.3),
    'power': (lambda x: x**2.5, lambda x: x**2.5, 0.7),
    'exponential': (lambda x: 2.5**x, lambda x: mpmath.mpf(2.5) ** x, 0.7),
    'tower': (lambda x: x**x, lambda x: x**x, 0.7),
    'quotient': (lambda x: ad.sin(x) / (1 + x * x), lambda x: mpmath.sin(x) / (1 + x * x), 0.7),
    'atan2': (lambda x: ad.atan2(ad.sin(x), x), lambda x: mpmath.atan2(mpmath.sin(x), x), 0.7),
    'composed': (lambda x: ad.sin(ad.sin(ad.sin(x))), lambda x: mpmath.sin(mpmath.sin(mpmath.sin(x))), 0.7),
    'gelu': (ad.gelu, lambda x: x * mpmath.ncdf(x), 0.7),
}


def coefficients(y: ad.Node, x: ad.Node, at: float, order: int = ORDER) -> list[float]:
    """The coefficients along ``x + t``."""
    found = ad.taylor(y, {x: [ad.ones_like(x)]}, order)
    values = iter(ad.Evaluator([c for c in found if c is not None]).run({x: torch.tensor(at, dtype=F64)}))
    return [0.0 if c is None else next(values).item() for c in found]


@pytest.mark.parametrize('typed', [True, False], ids=['typed', 'untyped'])
@pytest.mark.parametrize('name', FUNCTIONS)
def test_coefficients_are_those_of_mpmath(name: str, typed: bool) -> None:
    ours, reference, at = FUNCTIONS[name]
    x = ad.Variable('x', (), F64) if typed else ad.Variable('x')
    got = coefficients(ours(x), x, at)
    with mpmath.workdps(60):
        expected = mpmath.taylor(reference, mpmath.mpf(at), ORDER)[1:]
    for value, exact in zip(got, expected, strict=True):
        assert abs(value - exact) < 2e-12 * max(1.0, abs(exact))


def test_op_counts_of_a_composed_sine_stay_below_those_of_nested_modes() -> None:
    x = ad.Variable('x', (), F64)
    y = ad.sin(ad.sin(ad.sin(x)))
    found = ad.taylor(y, {x: [ad.ones_like(x)]}, 7)
    assert all(c is not None for c in found)
    assert len(ad.topological_sort([c for c in found if c is not None])) - 1 < 300


POLYNOMIALS: dict[str, tuple[Callable[[Any], ad.Node], list[float]]] = {
    'power': (lambda x: x**3, [0, 0, 1, 0]),
    'float power': (lambda x: x**3.0, [0, 0, 1, 0]),
    'product': (lambda x: x * x * x, [0, 0, 1, 0]),
    'square': (ad.square, [0, 1, 0, 0]),
    'power of a sum': (lambda x: (x + x * x) ** 2, [0, 1, 2, 1]),
    'odd function': (ad.sin, [1, 0, -1 / 6, 0]),
    'relu': (ad.relu, [0, 0, 0, 0]),
    'modulus': (abs, [0, 0, 0, 0]),
    'step': (ad.sign, [0, 0, 0, 0]),
    'product with a kink': (lambda x: x * abs(x), [0, 0, 0, 0]),
}


@pytest.mark.parametrize('name', POLYNOMIALS)
def test_coefficients_at_zero(name: str) -> None:
    function, expected = POLYNOMIALS[name]
    x = ad.Variable('x', (), F64)
    assert coefficients(function(x), x, 0.0, 4) == pytest.approx(expected, abs=1e-16)


def test_a_root_at_zero_has_the_convention_of_its_pushforward() -> None:
    x = ad.Variable('x', (), F64)
    got = coefficients(ad.sqrt(x), x, 0.0, 2)
    assert got[0] == math.inf
    assert not math.isfinite(got[1])


def test_a_path_of_several_coefficients_through_several_inputs() -> None:
    a, b = ad.Variable('a', (2, 3), F64), ad.Variable('b', (3,), F64)
    series: dict[ad.Node, list[Any]] = {
        a: [None, torch.linspace(-1, 1, 6, dtype=F64).reshape(2, 3)],
        b: [torch.linspace(0, 1, 3, dtype=F64), None, torch.ones(3, dtype=F64)],
    }
    nodes = {x: [None if c is None else ad.constant(c) for c in cs] for x, cs in series.items()}
    y = ad.tanh(a * b)
    got = ad.taylor(y, nodes, 5)
    values = {a: torch.full((2, 3), 0.4, dtype=F64), b: torch.full((3,), 0.7, dtype=F64)}
    at = ad.Evaluator([c for c in got if c is not None]).run(values)
    with mpmath.workdps(50):
        for i in range(2):
            for j in range(3):

                def path(t: Any, i: int = i, j: int = j) -> Any:
                    p = mpmath.mpf(0.4) + series[a][1][i, j].item() * t**2
                    q = mpmath.mpf(0.7) + series[b][0][j].item() * t + t**3
                    return mpmath.tanh(p * q)

                expected = mpmath.taylor(path, 0, 5)[1:]
                assert max(abs(v[i, j].item() - e) for v, e in zip(at, expected, strict=True)) < 1e-14


def test_a_product_skips_zero_coefficients() -> None:
    x, w = ad.Variable('x', (3, 3), F64), ad.Variable('w', (3, 3), F64)
    first, second, third = ad.taylor(x @ w @ x, {x: [ad.ones_like(x)]}, 3)
    assert first is not None
    assert second is not None
    assert third is None
    assert sum(n.op is ad.matmul for n in ad.topological_sort(second)) == 2


def test_a_linear_system_has_one_solution_an_order() -> None:
    a, b = ad.Variable('a', (3, 3), F64), ad.Variable('b', (3, 2), F64)
    ta, tb = (ad.constant(torch.randn(s, dtype=F64)) for s in ((3, 3), (3, 2)))
    found = ad.taylor(solve_matrix(a, b), {a: [ta], b: [tb]}, 4)
    nodes = [c for c in found if c is not None]
    solutions = [n for n in ad.topological_sort(nodes) if n.op.name == 'solve_matrix']
    assert len(solutions) == 5
    values = {a: torch.randn(3, 3, dtype=F64) + 3 * torch.eye(3, dtype=F64), b: torch.randn(3, 2, dtype=F64)}
    got = ad.Evaluator(nodes).run(values)
    matrix, step = values[a], ta.attrs['constant']
    previous, right = torch.linalg.solve(matrix, values[b]), tb.attrs['constant']
    for value in got:
        previous = torch.linalg.solve(matrix, right - step @ previous)
        right = torch.zeros_like(right)
        assert torch.allclose(value, previous, rtol=1e-12, atol=1e-13)


def test_a_long_chain_at_a_high_order_is_walked_without_recursion() -> None:
    x = ad.Variable('x', (), F64)
    y = x
    for _ in range(1_500):
        y = ad.sin(y) * 1.0001
    found = ad.taylor(y, {x: [ad.ones_like(x)]}, 5)
    assert None not in found
    (first,) = ad.gradients(y, [x])
    a, b = ad.Evaluator([found[0], first]).run({x: torch.tensor(0.5, dtype=F64)})
    assert abs(a - b) < 1e-12 * abs(b)


def test_series_start_at_inner_nodes_and_reach_several_outputs() -> None:
    x = ad.Variable('x', (), F64)
    inner = ad.exp(x)
    one = ad.ones_like(inner)
    (by_sine, by_cube), nothing = ad.taylor([inner**2, x * 2], {inner: [one]}, 2)
    assert nothing == [None, None]
    got = ad.Evaluator([by_sine, by_cube]).run({x: torch.tensor(0.0, dtype=F64)})
    assert [v.item() for v in got] == [2.0, 1.0]


def test_series_depend_on_what_they_move() -> None:
    # The direction is a function of x, and is taken as it is at the start of the path.
    x = ad.Variable('x', (), F64)
    first, second = ad.taylor(ad.exp(x), {x: [ad.sin(x)]}, 2)
    a, b = ad.Evaluator([first, second]).run({x: torch.tensor(0.5, dtype=F64)})
    e, s = math.exp(0.5), math.sin(0.5)
    assert (a.item(), b.item()) == pytest.approx((e * s, e * s * s / 2), rel=1e-15)


def test_coefficients_can_be_differentiated() -> None:
    x = ad.Variable('x', (), F64)
    (_, second) = ad.taylor(ad.sin(x) * x, {x: [ad.ones_like(x)]}, 2)
    (third,) = ad.gradients(second, [x])
    (value,) = ad.Evaluator([third]).run({x: torch.tensor(0.4, dtype=F64)})
    assert value.item() == pytest.approx((-3 * math.sin(0.4) - 0.4 * math.cos(0.4)) / 2, rel=1e-14)


def test_complex_values_are_expanded_by_the_holomorphic_rules() -> None:
    z = ad.Variable('z', (), torch.complex128)
    found = ad.taylor(ad.exp(z) / z, {z: [ad.ones_like(z)]}, 4)
    got = ad.Evaluator(found).run({z: torch.tensor(0.5 + 0.8j, dtype=torch.complex128)})
    with mpmath.workdps(40):
        expected = mpmath.taylor(lambda t: mpmath.exp(t) / t, mpmath.mpc(0.5, 0.8), 4)[1:]
    assert max(abs(v.item() - complex(e)) for v, e in zip(got, expected, strict=True)) < 1e-14


def test_empty_and_0d_and_float32() -> None:
    for shape, dtype in (((0, 2), F64), ((), torch.float32)):
        x = ad.Variable('x', shape, dtype)
        found = ad.taylor(ad.tanh(x), {x: [ad.ones_like(x)]}, 3)
        for value in ad.Evaluator(found).run({x: torch.zeros(shape, dtype=dtype)}):
            assert (value.shape, value.dtype) == (shape, dtype)


def test_what_is_no_series_is_refused() -> None:
    x = ad.Variable('x')
    with pytest.raises(ad.TensorTypeError, match=r'taylor takes nodes, and got 1\.0 of type float'):
        ad.taylor(ad.sin(x), {x: [1.0]}, 2)
    with pytest.raises(ad.TensorTypeError, match='the order of a series is 0 or more, and got -1'):
        ad.taylor(ad.sin(x), {x: [ad.ones_like(x)]}, -1)
    assert ad.taylor(ad.sin(x), {x: [ad.ones_like(x)]}, 0) == []
    assert ad.taylor(ad.sin(x), {}, 2) == [None, None]
