"""Every op of the battery on batches: what a batch gives is what its examples give one by one."""

import itertools
from collections.abc import Iterator, Sequence

import pytest
import torch

import adjoint as ad
from adjoint import Node
from adjoint.core.errors import NonDifferentiableError
from adjoint.flow.map import Map
from adjoint.ops.batch import spread
from adjoint.verify.samples import Arguments, Kind, Sample, has_derivative
from tests.ops.cases import CASES

SIZE = 3


def examples(value: torch.Tensor) -> torch.Tensor:
    """A batch that starts with a value, of others like it: scaled a little, or in another order."""
    if has_derivative(value):
        return torch.stack([value * factor for factor in (1.0, 0.96875, 1.03125)])
    turned = value.flip(-1) if value.ndim else value
    return torch.stack([value, turned, value])


def subsets(count: int) -> Iterator[tuple[int, ...]]:
    """All operands, and each one alone."""
    if count > 1:
        yield tuple(range(count))
    yield from ((i,) for i in range(count))


class Batched:
    """One sample with some operands batched."""

    def __init__(self, name: str, given: Sample, which: Sequence[int], kind: Kind) -> None:
        arguments = Arguments(given, wide=True)
        self.values = arguments.values
        self.x = arguments.variables(kind)
        self.y = arguments.call(CASES[name].build, self.x)
        self.batches = {i: examples(self.values[i]) for i in which}
        self.xs = {i: _like(batch, kind, f'xs{i}') for i, batch in self.batches.items()}
        self.able = [i for i, v in enumerate(self.values) if has_derivative(v)]

    @property
    def places(self) -> dict[Node, Node]:
        return {self.x[i]: xs for i, xs in self.xs.items()}

    def batched(self, nodes: Sequence[Node]) -> list[Node]:
        found = ad.batched(nodes, self.places)
        first = next(iter(self.xs.values()))
        return [spread(n, first) if b is None else b for n, b in zip(nodes, found, strict=True)]

    def run(self, nodes: Sequence[Node]) -> list[torch.Tensor]:
        feed = dict(zip(self.x, self.values, strict=True))
        feed |= {xs: self.batches[i] for i, xs in self.xs.items()}
        return ad.Evaluator(nodes).run(feed)

    def one_by_one(self, nodes: Sequence[Node]) -> list[torch.Tensor]:
        runner = ad.Evaluator(nodes)
        runs: list[list[torch.Tensor]] = []
        for k in range(SIZE):
            own = [self.batches[i][k] if i in self.batches else v for i, v in enumerate(self.values)]
            runs.append(runner.run(dict(zip(self.x, own, strict=True))))
        return [torch.stack(list(results)) for results in zip(*runs, strict=True)]


def _like(batch: torch.Tensor, kind: Kind, name: str) -> Node:
    return ad.Variable(name) if kind == 'untyped' else ad.Variable(name, batch.shape, batch.dtype)


def assert_same(got: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> None:
    for g, w in zip(got, wanted, strict=True):
        assert g.dtype == w.dtype
        torch.testing.assert_close(g, w, rtol=1e-12, atol=1e-12, equal_nan=True)
