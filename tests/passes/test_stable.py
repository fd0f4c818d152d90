"""Values and gradients of what users write, where it overflows: at 1e4, at -800, with rows of -inf."""

import math
from collections.abc import Callable

import mpmath
import pytest
import torch

import adjoint as ad
from adjoint.passes.pipeline import stabilize

F64 = torch.float64
INF = math.inf
mp = mpmath.mp


def tensor(*entries: float) -> torch.Tensor:
    return torch.tensor(entries, dtype=F64)


# What a user writes of one number, its true value and its true derivative.
SCALAR = {
    'softplus': (
        lambda x: torch.log(1 + torch.exp(x)),
        lambda x: mp.log(1 + mp.exp(x)),
        lambda x: 1 / (1 + mp.exp(-x)),
    ),
    'log_sigmoid': (
        lambda x: torch.log(torch.sigmoid(x)),
        lambda x: -mp.log(1 + mp.exp(-x)),
        lambda x: 1 / (1 + mp.exp(x)),
    ),
    'log_sigmoid_by_hand': (
        lambda x: torch.log(1 / (1 + torch.exp(-x))),
        lambda x: -mp.log(1 + mp.exp(-x)),
        lambda x: 1 / (1 + mp.exp(x)),
    ),
    'log_of_complement': (
        lambda x: torch.log(1 - torch.sigmoid(x)),
        lambda x: -mp.log(1 + mp.exp(x)),
        lambda x: -1 / (1 + mp.exp(-x)),
    ),
    'sigmoid': (
        lambda x: torch.exp(x) / (1 + torch.exp(x)),
        lambda x: 1 / (1 + mp.exp(-x)),
        lambda x: mp.exp(-x) / (1 + mp.exp(-x)) ** 2,
    ),
    'complement': (
        lambda x: 1 - torch.sigmoid(x),
        lambda x: 1 / (1 + mp.exp(x)),
        lambda x: -mp.exp(-x) / (1 + mp.exp(-x)) ** 2,
    ),
    'root': (lambda x: torch.sqrt(x**2), abs, mp.sign),
    'identity': (lambda x: torch.log(torch.exp(x)), lambda x: x, lambda x: mp.mpf(1)),
    'cosine': (lambda x: 1 - torch.cos(x), lambda x: 1 - mp.cos(x), mp.sin),
    'exponential': (
        lambda x: 1 - torch.exp(-abs(x)),
        lambda x: 1 - mp.exp(-abs(x)),
        lambda x: mp.sign(x) * mp.exp(-abs(x)),
    ),
}  # fmt: skip
POINTS = [1e4, -800.0, 800.0, 40.0, -40.0, 1e-9, 0.5]


@pytest.mark.parametrize('point', POINTS)
@pytest.mark.parametrize('name', SCALAR)
def test_value_and_gradient_of_a_function_written_with_torch(name: str, point: float):
    function, true_value, true_slope = SCALAR[name]
    value, slope = ad.value_and_grad(function)(torch.tensor(point, dtype=F64))
    with mp.workdps(9000):
        wanted = float(true_value(mp.mpf(point))), float(true_slope(mp.mpf(point)))
    assert value.item() == pytest.approx(wanted[0], rel=4e-15, abs=5e-324)
    # Rules reuse the value: the slope of what is near 1 is right to a unit in the last place of 1.
    assert slope.item() == pytest.approx(wanted[1], rel=4e-15, abs=2.3e-16)


@pytest.mark.parametrize('mode', ['forward', 'reverse'])
def test_second_order_and_modes_follow(mode: str):
    x = tensor(1e4, -800.0, 0.3)
    second = ad.jacobian(ad.grad(lambda v: torch.log(1 + torch.exp(v)).sum()), mode=mode)(x)
    s = torch.sigmoid(x)
    assert torch.allclose(second, torch.diag(s * torch.sigmoid(-x)), rtol=1e-14, atol=0)


ROWS = torch.tensor(
    [[1e4, 0.0, -800.0], [-800.0, -801.0, -1e4], [-INF, 0.0, 1.0], [3.0, 3.0, 3.0]], dtype=F64
)


def test_log_of_softmax_and_its_gradient():
    weights = torch.arange(12.0, dtype=F64).reshape(4, 3)
    rows = ROWS.nan_to_num(neginf=-1e5)
    value, slope = ad.value_and_grad(lambda x: (weights * torch.log(torch.softmax(x, 1))).sum())(rows)
    with mp.workdps(60):
        total, slopes = mp.mpf(0), []
        for row, w in zip(rows.tolist(), weights.tolist(), strict=True):
            z = mp.fsum(mp.exp(mp.mpf(x)) for x in row)
            total += mp.fsum(wi * (xi - mp.log(z)) for wi, xi in zip(w, row, strict=True))
            shares = [mp.exp(mp.mpf(x)) / z for x in row]
            slopes.append([float(wi - sum(w) * p) for wi, p in zip(w, shares, strict=True)])
    assert value.item() == pytest.approx(float(total), rel=1e-15)
    assert torch.allclose(slope, torch.tensor(slopes, dtype=F64), rtol=1e-14, atol=1e-14)


def test_log_of_sum_of_exp_with_rows_of_minus_infinity():
    x = torch.tensor([[-INF, -INF], [-INF, 5.0], [800.0, 801.0], [-1e4, -1e4]], dtype=F64)
    value, pullback = ad.vjp(lambda u: torch.log(torch.exp(u).sum(1)), x)
    (slope,) = pullback(torch.ones(4, dtype=F64))
    assert value.tolist() == pytest.approx([-INF, 5.0, 801.3132616875182, -1e4 + math.log(2)], rel=1e-15)
    assert slope[1:].flatten().tolist() == pytest.approx(
        [0.0, 1.0, 0.2689414213699951, 0.7310585786300049, 0.5, 0.5], rel=1e-14
    )


def test_log_of_det_of_a_large_matrix():
    a = torch.eye(400, dtype=F64) * 1e-3
    value, slope = ad.value_and_grad(lambda m: torch.log(ad.registry()['det'](m)))(a)
    assert value.item() == pytest.approx(400 * math.log(1e-3), rel=1e-14)
    assert torch.allclose(slope, torch.eye(400, dtype=F64) * 1e3, rtol=1e-12)


def test_variance_by_cancellation():
    x = tensor(1e8, 1e8 + 1, 1e8 + 2, 1e8 + 3)
    value, slope = ad.value_and_grad(lambda v: (v**2).mean() - v.mean() ** 2)(x)
    assert value.item() == 1.25
    assert slope.tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_gradient_of_an_unstable_graph_is_mended_afterwards():
    x = ad.Variable('x')
    (g,) = ad.gradients(ad.sum(ad.log(ad.softmax(x, 0)) * tensor(1.0, 2.0)), [x])
    (before,) = ad.Evaluator([g]).run({x: tensor(1e4, -1e4)})
    (after,) = ad.Evaluator(ad.optimize([g])).run({x: tensor(1e4, -1e4)})
    assert before.isnan().any()
    assert after.tolist() == [-2.0, 2.0]


def test_inner_node_that_is_differentiated_by_is_kept():
    x = ad.Variable('x', (3,), F64)
    p = ad.softmax(x, 0)
    (y,) = stabilize([ad.sum(ad.log(p))], keep=[p])
    (g,) = ad.gradients(y, [p])
    assert ad.Evaluator([g]).run({x: tensor(0, 0, 0)})[0].tolist() == pytest.approx([3.0] * 3)


def test_nested_transforms_see_what_they_differentiate_by():
    def inner(x: torch.Tensor) -> torch.Tensor:
        h = torch.log(1 + torch.exp(x))
        return ad.grad(lambda u: u * torch.log(1 + torch.exp(h * u)))(h)

    h = math.log1p(math.e)
    want = math.log1p(math.exp(h * h)) + h * h / (1 + math.exp(-h * h))
    assert ad.grad(lambda x: x * 1.0)(torch.tensor(1.0)) == 1
    value, slope = ad.value_and_grad(inner)(torch.tensor(1.0, dtype=F64))
    assert value.item() == pytest.approx(want, rel=1e-14)
    assert slope.item() != 0


def test_what_is_complex_or_not_known_stays():
    z, u = ad.Variable('z', dtype=torch.complex128), ad.Variable('u')
    nodes = [f for v in (z, u) for f in (ad.log(ad.exp(v)), ad.log(1 + v), ad.sqrt(v * v))]
    assert stabilize(nodes) == nodes


@pytest.mark.parametrize(
    ('build', 'name'),
    [
        (lambda x: x * 0, 'mul'),
        (lambda x: x - x, 'sub'),
        (lambda x: x / x, 'div'),
    ],
)
def test_what_is_nan_for_infinities_does_not_fold(build: Callable[[ad.Node], ad.Node], name: str):
    x = ad.Variable('x', (3,), F64)
    assert ad.optimize([build(x)], 'fast')[0].op.name == name


# Norms: every way to write one, from where squares overflow to where they underflow.

NORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    'sum of products': lambda x: torch.sqrt((x * x).sum()),
    'sum of powers': lambda x: (x**2).sum() ** 0.5,
    'linalg': torch.linalg.norm,
    'terms': lambda x: torch.sqrt(x[0] ** 2 + x[1] * x[1] + torch.square(x[2])),
    'rows': lambda x: torch.sqrt(torch.square(x[None]).sum(1, keepdim=True))[0, 0],
}


@pytest.mark.parametrize('size', [1e200, 1e-200, 1e150, 1e-160, 1.0])
@pytest.mark.parametrize('name', NORMS)
def test_a_norm_of_any_size_with_both_derivatives(name: str, size: float):
    x = tensor(3.0, -4.0, 0.3) * size
    value, slope = ad.value_and_grad(NORMS[name])(x)
    curve = ad.hessian(NORMS[name])(x)
    with mp.workdps(60):
        entries = [mp.mpf(v) for v in x.tolist()]
        length = mp.sqrt(mp.fsum(v * v for v in entries))
        unit = [v / length for v in entries]
        second = [[float(((i == j) - unit[i] * unit[j]) / length) for j in range(3)] for i in range(3)]
        assert value.item() == pytest.approx(float(length), rel=1e-15)
        assert slope.tolist() == pytest.approx([float(u) for u in unit], rel=1e-15)
    assert torch.allclose(curve, torch.tensor(second, dtype=F64), rtol=1e-14, atol=1e-16 / size)


@pytest.mark.parametrize('name', NORMS)
def test_a_norm_at_zero_and_of_what_is_not_finite(name: str):
    value, slope = ad.value_and_grad(NORMS[name])(tensor(0, 0, 0))
    assert value.item() == 0
    assert slope.tolist() == [0, 0, 0]
    assert ad.value_and_grad(NORMS[name])(tensor(1, INF, 0))[0].item() == INF
    assert ad.value_and_grad(NORMS[name])(tensor(1, math.nan, 0))[0].isnan()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_a_norm_of_less_precision(dtype: torch.dtype):
    info = torch.finfo(dtype)
    x = torch.tensor([3.0, -4.0], dtype=dtype) * (info.max / 16)
    value, slope = ad.value_and_grad(lambda x: torch.sqrt((x * x).sum()))(x)
    assert value.dtype == dtype
    assert value.item() == pytest.approx(5 / 16 * info.max, rel=info.eps)
    assert slope.tolist() == pytest.approx([0.6, -0.8], rel=2 * info.eps)


def test_a_norm_of_rows_is_as_it_was_where_nothing_overflows():
    x = torch.randn(40, 7, dtype=F64, generator=torch.Generator().manual_seed(2))
    u = ad.Variable('u', (40, 7), F64)
    y = ad.sqrt(ad.sum(u * u, 1))
    (stable,) = stabilize([y])
    before, after = (ad.Evaluator([node]).run({u: x})[0] for node in (y, stable))
    assert torch.allclose(before, after, rtol=3e-16, atol=0)
    assert stable.op.name == 'scaled_norm'
    assert stabilize([ad.sqrt(ad.sum(u * u, 1) + 1e-6)])[0].op.name == 'sqrt'


ALL_OUT: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    'log of sum of exp': lambda x: torch.log(torch.exp(x).sum(1)),
    'logsumexp': lambda x: torch.logsumexp(x, 1),
    'log of mean of exp': lambda x: torch.log(torch.exp(x).mean(1)),
    'log of two exp': lambda x: torch.log(torch.exp(x[:, 0]) + torch.exp(x[:, 1])),
}


@pytest.mark.parametrize('name', ALL_OUT)
def test_a_row_of_minus_infinity_counts_for_nothing_and_is_masked_without_a_trace(name: str):
    """Its value is -inf; what is left of it by `where` has the gradient 0."""
    rows = tensor(-INF, -INF, -INF, 5.0, 1e4, -800.0).reshape(3, 2)
    value = ALL_OUT[name]
    slope = ad.grad(lambda x: torch.where(torch.isinf(value(x)), 0, value(x)).sum())(rows)
    assert slope.tolist() == [[0, 0], [0, 1], [1, 0]]
    found, tangent = ad.jvp(lambda x: torch.where(torch.isinf(value(x)), 0, value(x)), (rows,), (slope,))
    assert found[0].item() == 0
    assert tangent.tolist() == [0, 1, 1]


@pytest.mark.parametrize('point', [0.0, 1e-300, 0.5, 800.0, 1e4])
def test_a_number_times_its_logarithm(point: float):
    value, slope = ad.value_and_grad(lambda p: p * torch.log(p))(torch.tensor(point, dtype=F64))
    assert value.item() == pytest.approx(point * math.log(point) if point else 0.0, rel=1e-15)
    # at 0 the true slope is infinite; that of `xlogy` is taken as 0, as in torch
    assert slope.item() == pytest.approx(math.log(point) + 1 if point else 0.0, rel=1e-15)


@pytest.mark.parametrize('point', [-800.0, -1e4, 1e-9, -1e-300, 40.0])
def test_an_exponential_less_one(point: float):
    value, slope = ad.value_and_grad(lambda x: torch.exp(x) - 1)(torch.tensor(point, dtype=F64))
    with mp.workdps(400):
        assert value.item() == pytest.approx(float(mp.expm1(mp.mpf(point))), rel=1e-15)
        assert slope.item() == pytest.approx(float(mp.exp(mp.mpf(point))), rel=1e-15, abs=2.3e-16)
