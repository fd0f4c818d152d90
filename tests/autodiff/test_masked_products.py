"""Masks pass convolutions and fused attention: what is left out behind them has no part in the gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import adjoint as ad
from tests.ops.case import spread, t

NAN = float('nan')


def by_autograd(function: Callable[..., torch.Tensor], *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.enable_grad():
        leaves = [v.clone().requires_grad_() for v in values]
        return torch.autograd.grad(function(*leaves), leaves)


def with_hole(x: torch.Tensor) -> torch.Tensor:
    """The examples with one of nan in their midst."""
    return torch.cat([x[:1], torch.full_like(x[:1], NAN), x[1:]])


IMAGES, KERNEL, BIAS = spread(2, 2, 4, 4), spread(3, 2, 3, 3, seed=1), spread(3, seed=2)
OPTIONS: dict[str, dict[str, Any]] = {
    'plain': {},
    'padded with strides': {'padding': 1, 'stride': 2},
    'dilated': {'dilation': 2, 'padding': 2},
}


@pytest.mark.parametrize('name', OPTIONS)
def test_an_example_that_is_missing_before_a_convolution(name: str) -> None:
    def loss(w: Any, b: Any, x: Any) -> Any:
        y = torch.tanh(F.conv2d(x, w, b, **OPTIONS[name]))
        valid = ~torch.isnan(x[:, :1, :1, :1])
        return torch.where(valid, y * y, 0).sum()

    got = ad.grad(loss, (0, 1))(KERNEL, BIAS, with_hole(IMAGES))
    wanted = by_autograd(
        lambda w, b: (torch.tanh(F.conv2d(IMAGES, w, b, **OPTIONS[name])) ** 2).sum(), KERNEL, BIAS
    )
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('transposed', [False, True])
def test_pixels_at_a_pole_whose_windows_are_all_left_out(transposed: bool) -> None:
    """Only the columns of the image before the masked ones are used."""
    image = spread(1, 2, 4, 6).abs() + 0.5
    image[..., 4:] = 0.0  # where the logarithm has its pole
    kernel = spread(2, 2, 3, 3, seed=1)
    convolve = F.conv_transpose2d if transposed else F.conv2d

    def loss(x: Any) -> Any:
        y = convolve(torch.log(x), kernel)
        kept = torch.arange(y.shape[-1]) < (4 if transposed else 2)
        return torch.where(kept, y * y, 0).sum()

    def alone(x: torch.Tensor) -> torch.Tensor:
        y = convolve(torch.log(x[..., :4]), kernel)
        return (y[..., :4] ** 2 if transposed else y**2).sum()

    (wanted,) = by_autograd(alone, image)
    torch.testing.assert_close(ad.grad(loss)(image), wanted, rtol=1e-11, atol=1e-12)
    along = spread(1, 2, 4, 6, seed=3)
    (product,) = ad.hvp(loss, (image,), (along,))
    with torch.enable_grad():
        leaf = image.clone().requires_grad_()
        (first,) = torch.autograd.grad(alone(leaf), leaf, create_graph=True)
        (second,) = torch.autograd.grad((first * along).sum(), leaf)
    torch.testing.assert_close(product, second, rtol=1e-10, atol=1e-11)


def test_tangents_of_pixels_that_are_filled_in() -> None:
    image = torch.zeros(1, 1, 1, 6, dtype=torch.float64)
    image[..., :3] = t([0.5, 1.0, 2.0])
    kernel = torch.ones(1, 1, 1, 2, dtype=torch.float64)

    def roots(x: Any) -> Any:
        return torch.sqrt(F.conv2d(torch.where(x > 0, x, 0), kernel))

    value, tangent = ad.jvp(roots, (image,), (torch.ones_like(image),))
    sums = t([1.5, 3.0, 2.0, 0.0, 0.0])
    torch.testing.assert_close(value.flatten(), sums.sqrt())
    torch.testing.assert_close(tangent.flatten(), t([1.0, 1.0, 0.5, 0.0, 0.0]) / sums.sqrt().clamp(min=1e-9))
    torch.testing.assert_close(ad.jacfwd(roots)(image), ad.jacrev(roots)(image), rtol=1e-12, atol=1e-12)


QUERY, KEY, VALUE = spread(2, 3, 4), spread(2, 5, 4, seed=1), spread(2, 5, 3, seed=2)


@pytest.mark.parametrize('causal', [False, True])
def test_examples_that_are_missing_before_attention(causal: bool) -> None:
    w = spread(4, 4, seed=4)

    def loss(w: Any, q: Any, k: Any, v: Any) -> Any:
        y = F.scaled_dot_product_attention(q @ w, k @ w, v, is_causal=causal)
        valid = ~torch.isnan(q[:, :1, :1])
        return torch.where(valid, y * y, 0).sum()

    got = ad.grad(loss)(w, with_hole(QUERY), with_hole(KEY), with_hole(VALUE))
    (wanted,) = by_autograd(
        lambda w: (F.scaled_dot_product_attention(QUERY @ w, KEY @ w, VALUE, is_causal=causal) ** 2).sum(), w
    )
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


def test_queries_at_a_pole_that_are_left_out() -> None:
    rows = QUERY.abs()
    rows[:, 2] = 0.0

    def loss(q: Any) -> Any:
        y = F.scaled_dot_product_attention(torch.log(q), KEY, VALUE)
        return torch.where(torch.arange(3)[:, None] < 2, y * y, 0).sum()

    (wanted,) = by_autograd(
        lambda q: (F.scaled_dot_product_attention(torch.log(q[:, :2]), KEY, VALUE) ** 2).sum(), rows
    )
    torch.testing.assert_close(ad.grad(loss)(rows), wanted, rtol=1e-11, atol=1e-12)


def test_a_mask_over_what_is_known_to_be_finite_costs_nothing() -> None:
    x = ad.Variable('x', (2, 2, 4, 4), torch.float64)
    w = ad.Variable('w', (3, 2, 3, 3), torch.float64)
    y = ad.sum(ad.where(ad.constant(torch.arange(2) < 1), ad.tanh(torch.conv2d(ad.tanh(x), w)), 0))
    counts = [len(ad.topological_sort(ad.gradients(y, [x, w], nan_safe=safe))) for safe in (True, False)]
    assert counts[0] == counts[1]
