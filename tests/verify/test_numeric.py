"""Numeric differentiation: the order of every method, trees of tensors, estimates, refusals."""

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import adjoint as ad
from adjoint.verify import numeric
from adjoint.verify.differences import METHODS, default_step, difference, order_of
from adjoint.verify.numeric import Method

REAL_METHODS = [method for method in METHODS if method != 'complex']

# Analytic functions of one number, with a place and a step at which the leading error term rules.
ANALYTIC: dict[str, tuple[Callable[[Any], Any], float]] = {
    'exp of sin': (lambda x: torch.exp(torch.sin(x)), 0.7),
    'logarithm': (torch.log, 2.3),
    'quotient': (lambda x: x / (1 + x * x), 0.4),
    'power': (lambda x: x**-1.5, 1.7),
}
STEPS = {'forward': 1e-4, 'central': 1e-3, 'five-point': 2e-2, 'richardson': 0.32}


def double(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def by_autograd(f: Callable[[Any], Any], x: torch.Tensor) -> torch.Tensor:
    leaf = x.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(f(leaf), leaf)
    return found


def test_the_methods_are_those_of_the_type():
    assert set(get_args(Method)) == {*STEPS, 'complex'}


@pytest.mark.parametrize('method', REAL_METHODS)
@pytest.mark.parametrize('name', ANALYTIC)
def test_error_falls_with_the_stated_order_as_the_step_halves(name: str, method: Method):
    f, place = ANALYTIC[name]
    x = double(place)
    exact, h = by_autograd(f, x), STEPS[method]
    errors = [(numeric.gradient(f, x, method=method, step=step) - exact).abs().item() for step in (h, h / 2)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order_of(method), abs=0.25)


@pytest.mark.parametrize('name', ANALYTIC)
def test_complex_step_is_exact_to_rounding(name: str):
    f, place = ANALYTIC[name]
    x = double(place)
    exact = by_autograd(f, x).item()
    assert numeric.gradient(f, x, method='complex').item() == pytest.approx(exact, rel=4e-16)


def test_forward_difference_is_the_formula_of_the_text():
    theta = torch.randn(3, dtype=torch.float64)
    h = 2.0**-12

    def f(t: torch.Tensor) -> torch.Tensor:
        return (t.sin() * t).sum()

    expected = [(f(theta + h * e) - f(theta)) / h for e in torch.eye(3, dtype=torch.float64)]
    found = numeric.gradient(f, theta, method='forward', step=h)
    assert found.tolist() == torch.stack(expected).tolist()


def test_negative_step_looks_to_the_other_side():
    assert numeric.gradient(torch.abs, double(0.0), method='forward', step=1e-6) == 1
    assert numeric.gradient(torch.abs, double(0.0), method='forward', step=-1e-6) == -1


@pytest.mark.parametrize('method', REAL_METHODS)
@pytest.mark.parametrize('size', [1e-3, 1.0, 3e5])
def test_default_step_is_the_documented_one_rounded_to_a_power_of_two(method: Method, size: float):
    exponent = {'forward': 1 / 2, 'central': 1 / 3, 'five-point': 1 / 5, 'richardson': 1 / 9}[method]
    documented = torch.finfo(torch.float64).eps ** exponent * max(1.0, size)
    seen: list[float] = []

    def f(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.item() - size)
        return x

    numeric.gradient(f, double(size), method=method)
    widest = max(abs(offset) for offset in seen) / (2 if method == 'five-point' else 1)
    assert math.log2(widest) == pytest.approx(round(math.log2(widest)), abs=1e-9)
    assert 2**-0.5 <= widest / documented <= 2**0.5


def test_default_step_grows_with_the_number_of_derivatives():
    assert default_step('central', 1e-16) == pytest.approx(1e-16 ** (1 / 3))
    assert default_step('central', 1e-16, count=2) == pytest.approx(1e-16 ** (1 / 4))


SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0), (2, 1, 2)]


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_gradient_has_the_shape_and_dtype_of_its_parameter(shape: tuple[int, ...], method: Method):
    x = torch.randn(shape, dtype=torch.float64)
    found = numeric.gradient(lambda t: (t.sin() * t).sum(), x, method=method)
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    torch.testing.assert_close(found, x.cos() * x + x.sin(), rtol=0, atol=3e-7)


LAYOUTS: dict[str, Callable[[], torch.Tensor]] = {
    'transposed': lambda: torch.randn(3, 2, dtype=torch.float64).T,
    'strided': lambda: torch.randn(8, dtype=torch.float64)[::2],
    'expanded': lambda: torch.randn(1, 3, dtype=torch.float64).expand(2, 3),
    'flipped': lambda: torch.randn(4, dtype=torch.float64).flip(0),
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_entry_of_a_view_counts_on_its_own(layout: str):
    x = LAYOUTS[layout]()
    weight = torch.arange(1.0, x.numel() + 1, dtype=torch.float64).reshape(x.shape)
    before = x.clone()
    found = numeric.gradient(lambda t: (weight * t * t).sum(), x)
    torch.testing.assert_close(found, 2 * weight * x, rtol=1e-8, atol=1e-8)
    assert torch.equal(x, before)


@pytest.mark.parametrize('method', METHODS)
def test_tensors_of_the_caller_stay_as_they_are_even_when_the_function_writes_into_its_own(method: Method):
    point = {'w': torch.randn(2, 2, dtype=torch.float64), 'b': torch.randn(2, dtype=torch.float64)}
    before = {name: value.clone() for name, value in point.items()}

    def f(tree: dict[str, torch.Tensor]) -> torch.Tensor:
        value = (tree['w'] @ tree['b']).sum()
        tree['w'].zero_()
        tree['b'].fill_(7.0)
        return value

    found = numeric.gradient(f, point, method=method)
    assert all(torch.equal(point[name], before[name]) for name in point)
    torch.testing.assert_close(found['b'], before['w'].sum(0), rtol=1e-7, atol=1e-7)


def test_a_function_that_keeps_what_it_was_given_sees_separate_tensors():
    seen: list[torch.Tensor] = []
    numeric.gradient(lambda t: seen.append(t) or t.sum(), torch.zeros(2, dtype=torch.float64))
    assert len({t.data_ptr() for t in seen}) == len(seen) == 5


def test_parameter_that_requires_grad_is_differentiated_without_a_trace():
    x = double([1.0, 2.0]).requires_grad_()
    found = numeric.gradient(lambda t: (t * t).sum(), x)
    assert not found.requires_grad
    assert x.grad is None


def test_trees_keep_their_structure_and_what_has_no_derivative_is_none():
    point = {'layers': [double([1.0, 2.0]), (double(3.0),)], 'labels': torch.tensor([0, 1]), 'none': None}
    found = numeric.gradient(lambda p: (p['layers'][0][p['labels']] * p['layers'][1][0]).sum(), point)
    assert found['labels'] is None
    assert found['none'] is None
    assert isinstance(found['layers'][1], tuple)
    torch.testing.assert_close(found['layers'][0], double([3.0, 3.0]), rtol=0, atol=1e-9)
    torch.testing.assert_close(found['layers'][1][0], double(3.0), rtol=0, atol=1e-9)


@pytest.mark.parametrize('method', REAL_METHODS)
def test_complex_gradient_is_that_of_torch_ready_for_descent(method: Method):
    z = torch.randn(3, dtype=torch.complex128)

    def loss(z: torch.Tensor) -> torch.Tensor:
        return ((z * z - 1j * z).abs() ** 2).sum() + (z.real * z.imag).sum()

    torch.testing.assert_close(
        numeric.gradient(loss, z, method=method), by_autograd(loss, z), rtol=1e-5, atol=1e-5
    )


TOLERANCE = {torch.float16: 0.1, torch.bfloat16: 0.3, torch.float32: 1e-3}


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
def test_steps_fit_the_dtype(dtype: torch.dtype):
    x = torch.tensor([0.5, 2.0], dtype=dtype)
    found = numeric.gradient(lambda t: (t * t).sum(), x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, 2 * x, rtol=0, atol=TOLERANCE[dtype])


def test_step_fits_the_coarsest_dtype_on_the_way():
    # The value is of float32, so that a step of float64 would drown in its rounding.
    x = double([0.5, 2.0])
    found = numeric.gradient(lambda t: (t.float() ** 2).sum(), x)
    torch.testing.assert_close(found, 2 * x, rtol=0, atol=1e-3)


def test_python_numbers_are_values_too():
    assert numeric.gradient(lambda x: 3 * x.item(), double(1.0)).item() == pytest.approx(3)


# -- graphs -------------------------------------------------------------------------------------


@pytest.mark.parametrize('method', METHODS)
def test_node_is_differentiated_by_the_inputs_it_is_given(method: Method):
    x, y, unused = ad.Variable('x'), ad.Variable('y'), ad.Variable('unused')
    z = (ad.sin(x) * y).sum()
    values = {x: torch.randn(2, 3, dtype=torch.float64), y: torch.randn(3, dtype=torch.float64)}
    values[unused] = torch.ones(2, dtype=torch.float64)
    found = numeric.gradient(z, values, method=method)
    assert list(found) == [x, y, unused]
    expected = ad.Evaluator(ad.gradients(z, [x, y, unused])).run(values)
    for node, value in zip(found, expected, strict=True):
        torch.testing.assert_close(found[node], value, rtol=0, atol=1e-6)


def test_typed_graph_with_integer_inputs_is_differentiated_by_the_others():
    table = ad.Variable('table', shape=(3, 2), dtype=torch.float64)
    index = ad.Variable('index', shape=('n',), dtype=torch.int64)
    values = {table: torch.randn(3, 2, dtype=torch.float64), index: torch.tensor([2, 2])}
    found = numeric.gradient((table[index] ** 2).sum(), values)
    assert found[index] is None
    torch.testing.assert_close(found[table][2], 4 * values[table][2], rtol=0, atol=1e-8)
    assert not found[table][:2].any()


def test_point_of_a_graph_has_to_be_a_dictionary():
    with pytest.raises(ad.TensorTypeError, match='dictionary from its input nodes'):
        numeric.gradient(ad.sin(ad.Variable('x')), double(1.0))


# -- what is known of the error -----------------------------------------------------------------


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('name', ANALYTIC)
def test_true_error_is_within_the_estimate(name: str, method: Method):
    f, place = ANALYTIC[name]
    x = double([place, place + 0.2, place + 0.5])
    exact = by_autograd(lambda t: f(t).sum(), x)
    found = numeric.estimate_gradient(lambda t: f(t).sum(), x, method=method)
    assert found.order == order_of(method)
    assert ((found.value - exact).abs() <= 3 * found.error).all()
    assert (found.error < 1e-5).all()


def test_estimate_counts_its_evaluations():
    count = 0

    def f(x: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return (x * x).sum()

    found = numeric.estimate_gradient(f, torch.ones(3, dtype=torch.float64), method='five-point')
    assert found.evaluations == count == 1 + 3 * 2 * 4


@pytest.mark.parametrize('place', [1e-8, 1e-3, 0.3])
def test_estimate_finds_the_scale_of_a_small_entry(place: float):
    found = numeric.estimate_gradient(torch.log, double(place))
    assert found.value.item() == pytest.approx(1 / place, rel=1e-6)
    # The fixed scale of 1 does not do here, which is what the estimate is for.
    assert found.step.item() < place


def test_estimate_finds_a_step_inside_a_narrow_domain():
    place = double(1 - 1e-9)
    assert torch.isnan(numeric.gradient(torch.asin, place))
    found = numeric.estimate_gradient(torch.asin, place)
    assert found.step.item() < 1e-9
    assert (found.value - by_autograd(torch.asin, place)).abs() <= 3 * found.error


def test_given_step_is_used_even_where_it_leads_nowhere():
    found = numeric.estimate_gradient(torch.log, double(1e-3), step=0.5)
    assert found.step.item() == 0.5
    assert torch.isnan(found.value)


def test_estimate_of_a_complex_gradient_has_real_errors():
    z = torch.randn(2, dtype=torch.complex128)
    found = numeric.estimate_gradient(lambda z: (z.abs() ** 4).sum(), z)
    exact = by_autograd(lambda z: (z.abs() ** 4).sum(), z)
    assert found.error.dtype == torch.float64
    assert ((found.value - exact).abs() <= 4 * found.error).all()


# -- one direction ------------------------------------------------------------------------------


@pytest.mark.parametrize('method', METHODS)
def test_directional_is_the_gradient_along_the_direction(method: Method):
    point = [torch.randn(2, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)]
    direction = numeric.random_direction(point)

    def f(p: list[torch.Tensor]) -> torch.Tensor:
        return torch.sin(p[0] @ p[1]).sum()

    leaves = [leaf.clone().requires_grad_() for leaf in point]
    grads = torch.autograd.grad(f(leaves), leaves)
    expected = sum((g * t).sum() for g, t in zip(grads, direction, strict=True))
    found = numeric.directional(f, point, direction, method=method)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_random_direction_has_norm_one_over_the_whole_tree():
    point = {'a': torch.ones(3, 4), 'b': [torch.ones(2, dtype=torch.complex64)], 'n': torch.tensor(3)}
    direction = numeric.random_direction(point, torch.Generator().manual_seed(3))
    assert direction['n'] is None
    norm = math.hypot(direction['a'].norm().item(), direction['b'][0].norm().item())
    assert norm == pytest.approx(1, abs=1e-6)
    again = numeric.random_direction(point, torch.Generator().manual_seed(3))
    assert torch.equal(direction['a'], again['a'])
    assert not torch.equal(direction['a'], numeric.random_direction(point)['a'])


def test_random_direction_of_empty_tensors_is_empty():
    assert numeric.random_direction(torch.ones(0, 2)).shape == (0, 2)


def test_directional_without_a_direction_takes_the_random_one_of_the_generator():
    x = torch.randn(4, dtype=torch.float64)
    direction = numeric.random_direction(x, torch.Generator().manual_seed(1))
    found = numeric.directional(lambda x: (x**3).sum(), x, generator=torch.Generator().manual_seed(1))
    assert found == numeric.directional(lambda x: (x**3).sum(), x, direction)
    estimate = numeric.estimate_directional(
        lambda x: (x**3).sum(), x, generator=torch.Generator().manual_seed(1)
    )
    assert torch.equal(estimate.direction, direction)
    assert (estimate.value - (3 * x * x) @ direction).abs() <= 3 * estimate.error


def test_directional_works_for_values_of_any_shape_and_complex_ones():
    z = torch.randn(3, dtype=torch.complex128)
    t = torch.randn(3, dtype=torch.complex128)
    found = numeric.directional(lambda z: z.conj() * z.sum(), z, t, method='five-point')
    expected = t.conj() * z.sum() + z.conj() * t.sum()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_inputs_without_a_direction_stay():
    x, y = ad.Variable('x'), ad.Variable('y')
    values = {x: double([1.0, 2.0]), y: double([3.0, 4.0])}
    found = numeric.directional(x * y, values, {y: double([1.0, 0.0])})
    torch.testing.assert_close(found, double([1.0, 0.0]), rtol=0, atol=1e-9)
    assert numeric.directional(lambda p: p[0] * p[1], [double(2.0), double(3.0)], [None, double(1.0)]) == 2


def test_short_direction_gives_a_proportional_derivative():
    x = double([1.0, 2.0])
    t = double([1e-6, -2e-6])
    found = numeric.directional(lambda x: x.exp().sum(), x, t)
    assert found.item() == pytest.approx((x.exp() @ t).item(), rel=1e-8)


# -- Jacobians and mixed derivatives ------------------------------------------------------------


@pytest.mark.parametrize('method', METHODS)
def test_jacobian_is_that_of_torch(method: Method):
    point = {'a': torch.randn(2, 3, dtype=torch.float64), 'b': torch.randn(3, dtype=torch.float64)}

    def f(p: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.tanh(p['a'] @ p['b']).outer(p['b'])

    found, expected = numeric.jacobian(f, point, method=method), torch.func.jacrev(f)(point)
    for name, leaf in point.items():
        assert found[name].shape == (2, 3, *leaf.shape)
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-6)


def test_jacobian_of_an_empty_parameter_is_empty():
    found = numeric.jacobian(lambda x: x.sum() + torch.ones(2), torch.ones(0, dtype=torch.float64))
    assert found.shape == (2, 0)


def test_jacobian_of_a_complex_value_by_a_real_parameter_is_complex():
    x = double([0.3, 0.5])
    found = numeric.jacobian(lambda x: torch.exp(1j * x), x)
    torch.testing.assert_close(found, torch.diag(1j * torch.exp(1j * x)), rtol=0, atol=1e-9)


def test_jacobian_by_a_complex_parameter_is_refused():
    with pytest.raises(ad.NonDifferentiableError, match='view_as_real'):
        numeric.jacobian(torch.exp, torch.ones(2, dtype=torch.complex128))


@pytest.mark.parametrize('method', REAL_METHODS)
def test_mixed_derivatives_are_those_of_the_closed_form(method: Method):
    point = [double(1.3), double(0.4)]
    one, none = torch.ones((), dtype=torch.float64), None
    by_x, by_y = [one, none], [none, one]

    def f(p: list[torch.Tensor]) -> torch.Tensor:
        return torch.exp(p[0] * p[1])

    x, y = (leaf.item() for leaf in point)
    closed = {
        (0, 0): y * y,
        (0, 1): 1 + x * y,
        (1, 1): x * x,
        (0, 0, 1): 2 * y + x * y * y,
    }
    for path, factor in closed.items():
        directions = [(by_x, by_y)[i] for i in path]
        found = numeric.estimate_mixed(f, point, directions, method=method)
        exact = factor * math.exp(x * y)
        assert abs(found.value.item() - exact) <= 3 * found.error.item()
        assert found.error.item() < (2e-2 if method == 'forward' else 1e-3)
        assert len(found.step) == len(path)


def test_difference_takes_one_derivative_in_each_step():
    # Of a polynomial of low degree the stencils are exact.
    found = difference(lambda h: double((1 + h[0]) ** 2 * (2 + h[1]) ** 2), (0.25, 0.5), 'five-point')
    assert found.value.item() == pytest.approx(2 * 1 * 2 * 2, rel=1e-13)


# -- refusals -----------------------------------------------------------------------------------


def test_complex_step_refuses_higher_orders():
    one = double(1.0)
    with pytest.raises(ad.NonDifferentiableError, match='first derivatives only'):
        numeric.estimate_mixed(torch.exp, one, [one, one], method='complex')


@pytest.mark.parametrize(
    ('f', 'message'),
    [
        (lambda x: (x * x.abs()).sum(), 'not analytic'),
        (lambda x: (x.conj() * x * 1j).imag.sum(), 'answers complex values with a real one'),
        (lambda x: x.abs().sum(), 'answers complex values with a real one'),
        (lambda x: torch.relu(x).sum(), 'runs the function on complex values, and there it fails'),
        (lambda x: x @ torch.ones(2, dtype=torch.float64), 'there it fails'),
    ],
)
def test_complex_step_refuses_what_is_not_analytic(f: Callable[[Any], Any], message: str):
    with pytest.raises(ad.NonDifferentiableError, match=message):
        numeric.gradient(f, double([1.0, -2.0]), method='complex')


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
def test_complex_step_refuses_what_is_not_analytic_in_every_dtype(dtype: torch.dtype):
    with pytest.raises(ad.NonDifferentiableError, match='not analytic'):
        numeric.gradient(lambda x: x * x.abs(), torch.tensor(2.0, dtype=dtype), method='complex')


def test_complex_step_refuses_complex_parameters():
    with pytest.raises(ad.NonDifferentiableError, match='by real parameters'):
        numeric.directional(torch.exp, torch.ones(2, dtype=torch.complex128), method='complex')


def test_rapid_analytic_functions_are_not_mistaken_for_others():
    x = double([0.3, 0.8])
    found = numeric.gradient(lambda x: torch.sin(1e6 * x).sum(), x, method='complex')
    torch.testing.assert_close(found, 1e6 * torch.cos(1e6 * x), rtol=1e-9, atol=1e-3)


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda: numeric.gradient(torch.sin, double(1.0), method='backward'), ValueError, 'choose one of'),
        (lambda: numeric.gradient(torch.sin, double(1.0), step=0.0), ValueError, 'other than 0'),
        (lambda: numeric.gradient(torch.sin, double(1.0), step=math.nan), ValueError, 'finite number'),
        (lambda: numeric.gradient(torch.sin, [1.0]), ad.TensorTypeError, 'torch.tensor'),
        (lambda: numeric.gradient(torch.sin, torch.ones(2)), ad.ShapeError, r'\(2,\).*jacobian'),
        (lambda: numeric.gradient(lambda x: [x], double(1.0)), ad.TensorTypeError, 'must return one tensor'),
        (lambda: numeric.gradient(lambda x: 1j * x, double(1.0)), ad.TensorTypeError, 'real number'),
        (
            lambda: numeric.directional(torch.sin, double(1.0), double([1.0])),
            ad.ShapeError,
            r'\(1,\) where the point has a tensor of shape \(\)',
        ),
        (
            lambda: numeric.directional(lambda p: p[0], [double(1.0)], [double(1.0), double(1.0)]),
            ad.ShapeError,
            'another structure',
        ),
        (
            lambda: numeric.directional(
                ad.sin(x := ad.Variable('x')), {x: double(1.0)}, {ad.Variable('y'): double(1.0)}
            ),
            ad.ShapeError,
            'names y, which the point gives no value',
        ),
    ],
)  # fmt: skip
def test_wrong_use_is_refused(call: Callable[[], Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize('exponent', [-3, 0, 1, 4, 7, 4.0, torch.tensor(5.0), torch.tensor(6)])
@pytest.mark.parametrize(
    'power',
    [lambda x, k: x**k, torch.pow, lambda x, k: x.pow(k), torch.float_power, lambda x, k: x.float_power(k)],
)
def test_complex_step_of_a_whole_power_of_a_negative_number(power: Callable[..., Any], exponent: Any):
    x = double([-1.0, -0.3, 2.0])
    found = numeric.gradient(lambda x: power(x, exponent).sum(), x, method='complex')
    torch.testing.assert_close(found, exponent * x ** (exponent - 1), rtol=1e-14, atol=0)


def test_complex_step_of_a_power_node_at_a_negative_number():
    x = ad.Variable('x')
    found = numeric.gradient(ad.sum(ad.power(x, 4)), {x: double([-1.0, -2.0])}, method='complex')
    torch.testing.assert_close(found[x], double([-4.0, -32.0]), rtol=1e-14, atol=0)


def test_complex_step_says_when_torch_rounds_the_imaginary_part():
    exponents = double([4.0, 5.0])
    with pytest.raises(ad.NonDifferentiableError, match='taken by its angle'):
        numeric.gradient(lambda x: (x**exponents).sum(), double([-1.0, -2.0]), method='complex')


@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=4),
    st.lists(st.floats(-2, 2), min_size=1, max_size=5),
    st.sampled_from(METHODS),
)
@example([-1.0], [0.0, 0.0, 0.0, 0.0, 1.0], 'complex')
def test_gradients_of_polynomials_agree_with_torch(place: list[float], weights: list[float], method: Method):
    x = double(place)

    def f(x: torch.Tensor) -> torch.Tensor:
        return sum(w * (x**k).sum() for k, w in enumerate(weights))  # pyright: ignore[reportReturnType]

    exact = sum(k * w * x ** (k - 1) for k, w in enumerate(weights) if k)
    found = numeric.gradient(f, x, method=method)
    torch.testing.assert_close(found, exact + torch.zeros_like(x), rtol=2e-6, atol=2e-5)
