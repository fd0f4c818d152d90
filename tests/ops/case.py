"""What a case of the battery is, and the tensors that the cases are made of."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from adjoint.verify.samples import Sample, sample

Convention: TypeAlias = tuple[Sample, tuple[torch.Tensor, ...]]
Refusal: TypeAlias = tuple[Sample, type[Exception], str]


@dataclass(frozen=True)
class Case:
    """One op, or one way to call it: its samples, and the witness of its value.

    Parameters
    ----------
    build
        The op, or a function that builds a node from nodes.
    samples
        What the claims are checked on.
    reference
        The function of torch with the same arguments.
    order
        Up to which order of derivative.
    conventions
        Arguments at kinks, ties and poles, with the exact gradients of the sum of the value.
    refusals
        Arguments that must fail, with the error and its message.
    """

    build: Callable[..., Any]
    samples: Sequence[Sample]
    reference: Callable[..., Any] | None = None
    order: int = 2
    conventions: Sequence[Convention] = ()
    refusals: Sequence[Refusal] = ()


def sized(*args: Any, **kwargs: Any) -> Sample:
    """A sample of which an attr holds sizes or positions as numbers, for which no name can stand."""
    return sample(*args, **kwargs)


def t(data: Any) -> torch.Tensor:
    """A float64 tensor."""
    return torch.tensor(data, dtype=torch.float64)


def z(data: Any) -> torch.Tensor:
    """A complex128 tensor."""
    return torch.tensor(data, dtype=torch.complex128)


def i(data: Any) -> torch.Tensor:
    """An int64 tensor."""
    return torch.tensor(data, dtype=torch.int64)


def spread(*shape: int, low: float = -1.53, high: float = 1.71, seed: int = 0) -> torch.Tensor:
    """Distinct short decimals between two bounds in a fixed random order, none closer than 0.05 to 0."""
    count = torch.Size(shape).numel()
    values = torch.linspace(low, high, max(count, 1), dtype=torch.float64)[:count]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    values = (values[order] * 1000).round() / 1000
    near = values.abs() < 0.05
    return torch.where(near, torch.full_like(values, 0.05 + 0.031), values).reshape(shape)


def spread_complex(*shape: int, low: float = -1.53, high: float = 1.71, seed: int = 0) -> torch.Tensor:
    """Complex numbers of two such tensors."""
    return torch.complex(
        spread(*shape, low=low, high=high, seed=seed), spread(*shape, low=-1.1, high=1.3, seed=seed + 1)
    )


def layouts(low: float = -1.53, high: float = 1.71) -> list[torch.Tensor]:
    """Tensors that differ in how they lie: plain, 0-d, empty, transposed, expanded, strided."""
    return [
        spread(2, 3, low=low, high=high),
        spread(low=(low + high) / 2 + 0.1, high=high),
        spread(0, 3),
        spread(3, 2, low=low, high=high, seed=1).mT,
        spread(1, 3, low=low, high=high, seed=2).expand(2, 3),
        spread(6, low=low, high=high, seed=3)[::2],
    ]


def pairs(low: float = -1.53, high: float = 1.71) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of tensors that broadcast in every way, and that lie differently."""

    def of(*shape: int, seed: int) -> torch.Tensor:
        return spread(*shape, low=low, high=high, seed=seed)

    mid = (low + high) / 2
    first, second = itertools.count(10, 2), itertools.count(11, 2)
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 1, 2), (3, 1)),
        ((0, 2), (1, 2)),
    ]  # fmt: skip
    # The shift keeps the two apart: an entry of both would be a tie.
    made = [(of(*a, seed=next(first)), of(*b, seed=next(second)) + 0.017) for a, b in shapes]
    return [
        *made,
        (of(3, 2, seed=30).mT, (of(2, 1, seed=31) + 0.017).expand(2, 3)),
        (t(round(mid + 0.213, 3)), t(round(mid + 0.487, 3))),
        (t(round(mid + 0.341, 3)), of(2, seed=32)),
        (of(2, seed=33), t(round(mid + 0.389, 3))),
    ]
