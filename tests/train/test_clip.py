"""Gradient clipping against torch.nn.utils."""

from typing import Any

import pytest
import torch
from torch import Tensor

import adjoint as ad
from adjoint.train.clip import clip_by_norm, clip_by_value, global_norm


def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(3, 4), (5,), ()]
    return [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]


def theirs(clip: Any, bound: float) -> list[Tensor]:
    leaves = [torch.zeros_like(g, requires_grad=True) for g in gradients()]
    for leaf, gradient in zip(leaves, gradients(), strict=True):
        leaf.grad = gradient.clone()
    clip(leaves, bound)
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def ours(clip: Any, bound: float) -> list[Tensor]:
    nodes = [ad.Variable(f'g{k}') for k in range(3)]
    values = dict(zip(nodes, gradients(), strict=True))
    return ad.Evaluator(clip(nodes, bound)).run(values)


@pytest.mark.parametrize('bound', [1e-3, 1.0, 3.0, 1e3])
def test_clip_by_norm_is_that_of_torch(bound: float) -> None:
    pairs = zip(ours(clip_by_norm, bound), theirs(torch.nn.utils.clip_grad_norm_, bound), strict=True)
    for mine, other in pairs:
        # The norm is summed in another order: one rounding of its own.
        torch.testing.assert_close(mine, other, rtol=4 * 2.0**-53, atol=0)


@pytest.mark.parametrize('bound', [1e-3, 0.5, 1e3])
def test_clip_by_value_is_that_of_torch(bound: float) -> None:
    pairs = zip(ours(clip_by_value, bound), theirs(torch.nn.utils.clip_grad_value_, bound), strict=True)
    for mine, other in pairs:
        assert torch.equal(mine, other)


def test_small_gradients_stay_as_they_are() -> None:
    for mine, before in zip(ours(clip_by_norm, 1e3), gradients(), strict=True):
        assert torch.equal(mine, before)


def test_clipped_norm_is_below_the_bound() -> None:
    clipped = ours(clip_by_norm, 0.25)
    assert sum(float((g * g).sum()) for g in clipped) ** 0.5 == pytest.approx(0.25, rel=1e-5)


def test_zero_gradients_give_zeros() -> None:
    g = ad.Variable('g')
    (clipped,) = ad.Evaluator(clip_by_norm([g], 1.0)).run({g: torch.zeros(3)})
    assert torch.equal(clipped, torch.zeros(3))


def test_global_norm_is_over_all_gradients() -> None:
    a, b = ad.Variable('a'), ad.Variable('b')
    (norm,) = ad.Evaluator([global_norm([a, b])]).run({a: torch.tensor([3.0, 0.0]), b: torch.tensor([[4.0]])})
    assert norm == 5


def test_no_gradients_give_none() -> None:
    assert clip_by_norm([], 1.0) == []
    assert clip_by_value([], 1.0) == []
