"""Ops of plain functions: one rule serves both modes, and the battery checks it."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

import adjoint as ad
from adjoint.verify.samples import sample

X = torch.tensor([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4]], dtype=torch.float64)
Y = torch.tensor([0.5, -0.25, 1.5], dtype=torch.float64)


@ad.custom_op(
    gradient=lambda ct, y, a, b, scale: (ad.sum_to_like(ct * b * scale, a), ad.sum_to_like(ct * a * scale, b))
)
def scaled_product(a: torch.Tensor, b: torch.Tensor, *, scale: float = 2.0) -> torch.Tensor:
    """``scale * a * b``."""
    return a * b * scale


@ad.custom_op(jvp=lambda ts, y, a, b, scale: (ts[0] * b + a * ts[1]) * scale)
def pushed_product(a: torch.Tensor, b: torch.Tensor, *, scale: float = 2.0) -> torch.Tensor:
    return a * b * scale


def _polar_gradient(cts: Any, ys: Any, x: Any, y: Any) -> Any:
    (by_r, by_phi), (r, _) = cts, ys
    return by_r * x / r - by_phi * y / r**2, by_r * y / r + by_phi * x / r**2


@ad.custom_op(gradient=_polar_gradient, outputs=2)
def polar(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.hypot(x, y), torch.atan2(y, x)


@ad.custom_op(gradient=lambda ct, y, x: ct * ad.cos(x))
def in_numpy(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.sin(x.numpy()))


@pytest.mark.parametrize('op', [scaled_product, pushed_product])
def test_one_rule_passes_the_battery(op: Any):
    report = ad.check_op(op, (X, Y), (X, X), sample(X, Y, scale=-0.5), reference=_reference)
    assert report.ok, report


def _reference(a: torch.Tensor, b: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
    return scale * a * b


@pytest.mark.parametrize('position', [0, 1])
def test_several_outputs_pass_the_battery(position: int):
    report = ad.check_op(
        lambda x, y: polar(x, y)[position], (X[0], Y), reference=lambda x, y: polar(x, y)[position]
    )
    assert report.ok, report


def test_both_outputs_together_give_the_gradient_of_torch():
    def f(polar: Any) -> Any:
        def both(x: Any, y: Any) -> Any:
            r, phi = polar(x, y)
            return (r * phi + r**2).sum()

        return both

    ours = ad.grad(f(polar), (0, 1))(X[0], Y)
    theirs = torch.func.grad(f(lambda x, y: (torch.hypot(x, y), torch.atan2(y, x))), (0, 1))(X[0], Y)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_value_in_numpy_is_differentiated_by_its_rule():
    torch.testing.assert_close(ad.hessian(lambda x: in_numpy(x).sum())(Y), torch.diag(-torch.sin(Y)))
    assert in_numpy(ad.Variable('x', (3,), torch.float64)).type is None


def test_given_tensors_it_is_the_function():
    assert isinstance(scaled_product(X, Y), torch.Tensor)
    assert scaled_product.__name__ == 'scaled_product'
    assert scaled_product.__doc__ == '``scale * a * b``.'
    x = ad.Variable('x')
    y = scaled_product(x, 3.0, scale=1.0)
    assert (y.op.name, y.attrs, str(y)) == (
        'scaled_product',
        {'scale': 1.0},
        'scaled_product(x, constant, scale=1.0)',
    )
    assert scaled_product(x, 3.0).attrs == {'scale': 2.0}


def test_a_graph_of_it_is_pickled():
    x = ad.Variable('x')
    again = pickle.loads(pickle.dumps(scaled_product(x, x)))
    assert again.op is scaled_product


@pytest.mark.parametrize(
    ('build', 'kind', 'message'),
    [
        (lambda: ad.custom_op(3), ad.TensorTypeError, 'of a function, and got 3'),
        (lambda: scaled_product(ad.Variable('x')), ad.TensorTypeError, 'with other arguments: missing'),
        (lambda: scaled_product(ad.Variable('x'), 1.0, size=3), ad.TensorTypeError, "'size'"),
        (
            lambda: ad.grad(ad.custom_op(lambda x: x * 1.0))(1.0),
            ad.NonDifferentiableError,
            'neither a gradient nor a jvp',
        ),
        (
            lambda: ad.grad(ad.custom_op(lambda x: x * 1.0, gradient=lambda ct, y, x: (ct, ct)))(1.0),
            ad.RuleError,
            r'test_custom.py.*returned 2 for 1 inputs',
        ),
        (
            lambda: ad.grad(lambda x: ad.custom_op(lambda x: x.sum(), gradient=lambda ct, y, x: ct)(x))(X),
            ad.RuleError,
            r'float64\[\], and the input float64\[2, 3\]',
        ),
        (
            lambda: ad.jvp(ad.custom_op(lambda x: x * 1.0, jvp=lambda ts, y, x: (*ts, *ts)), (1.0,), (1.0,)),
            ad.RuleError,
            'returned 2 tangents for 1 outputs',
        ),
        (
            lambda: ad.grad(ad.custom_op(lambda x: x * 1.0, jvp=lambda ts, y, x: 3.0))(1.0),
            ad.RuleError,
            'returned 3.0 of type float, and owes nodes',
        ),
        (
            lambda: ad.custom_op(lambda *xs: xs[0], gradient=lambda ct, y, *xs: ct),
            ad.TensorTypeError,
            r'takes any number of operands, as \*xs: a custom_op names each',
        ),
    ],
)  # fmt: skip
def test_misuse_is_explained(build: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        build()


def test_clipping_in_forward_mode_is_an_error_and_reverse_over_reverse_works():
    def f(x: Any) -> Any:
        return (ad.clip_gradient(x, max=3.0) ** 2).sum()

    with pytest.raises(ad.NonDifferentiableError, match='no meaning in forward mode'):
        ad.jvp(f, (Y,), (Y,))
    # The clipped gradient is min(2 x, 3); its derivative flows back through the clipped value again.
    at = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert ad.grad(lambda x: ad.grad(f)(x).sum())(at).tolist() == [2.0, 0.0]


def test_scaled_and_reversed_gradients_agree_in_both_modes():
    assert ad.jvp(lambda x: ad.reverse_gradient(x, 0.5) * 4, (1.0,), (1.0,))[1] == -2
    assert ad.grad(lambda x: ad.reverse_gradient(x, 0.5) * 4)(1.0) == -2
    assert ad.grad(lambda x: ad.stop_gradient(x) * x)(3.0) == 3
    assert ad.jvp(lambda x: ad.stop_gradient(x) * x, (3.0,), (1.0,))[1] == 3
