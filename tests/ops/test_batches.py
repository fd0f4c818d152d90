"""Every op of the battery on batches: what a batch gives is what its examples give one by one."""

from collections.abc import Iterator, Sequence

import pytest
import torch

import adjoint as ad
from adjoint import Node
from adjoint.flow.map import Map
from adjoint.ops.batch import spread
from adjoint.verify.samples import Arguments, Kind, Sample, has_derivative
from tests.ops.cases import CASES

SIZE = 3


# Integers that have an order to keep.
ORDERED = {'embedding_bag', 'bag_index'}


def examples(value: torch.Tensor, *, ordered: bool) -> torch.Tensor:
    """A batch that starts with a value, of others like it: scaled a little, or in another order."""
    if has_derivative(value):
        return torch.stack([value * factor for factor in (1.0, 0.96875, 1.03125)])
    turned = value if ordered or not value.ndim else value.flip(-1)
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
        self.batches = {i: examples(self.values[i], ordered=name in ORDERED) for i in which}
        self.xs = {i: _like(batch, kind, f'xs{i}') for i, batch in self.batches.items()}
        self.able = [i for i, v in enumerate(self.values) if has_derivative(v)]

    @property
    def places(self) -> dict[Node, Node]:
        return {self.x[i]: xs for i, xs in self.xs.items()}

    def batched(self, nodes: Sequence[Node]) -> list[Node]:
        found = ad.batched(nodes, self.places, randomness='same')
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


def _cases(name: str, kind: Kind) -> Iterator[Batched]:
    for given in CASES[name].samples:
        for which in subsets(len(Arguments(given, wide=True).values)):
            try:
                yield Batched(name, given, which, kind)
            except ad.AdjointError:
                assert kind == 'untyped'  # sizes may be needed to build it
                return


def is_mapped(nodes: Sequence[Node]) -> bool:
    return any(isinstance(node.op, Map) for node in ad.topological_sort(nodes))


# What has no rule, whatever its operands: the shape of the result depends on numbers, or it is no part of
# common programs. Nothing else is mapped where types are known, but for examples without axes or options.
MAPPED = {
    'affine_grid', 'affine_grid_backward', 'as_strided', 'as_strided_scatter', 'bag_index', 'bincount',
    'block_diag', 'block_part', 'ctc_nll', 'ctc_weights', 'embedding_bag', 'equal',
    'fractional_max_pool_positions', 'frequency', 'histc', 'index_along', 'masked_part', 'masked_put',
    'masked_scatter', 'masked_select', 'matmul_needs', 'median', 'nanmedian', 'nonzero', 'pairs',
    'repeated_index', 'segment_ids', 'segment_room', 'unpairs', 'unstrided',
}  # fmt: skip

# Their rules are those of draws, and of batches of batches.
APART = {'align', 'example', 'numbers', 'drawn_bernoulli', 'drawn_multinomial', 'drawn_poisson'}


def test_which_ops_are_mapped() -> None:
    native: set[str] = set()
    mapped: set[str] = set()
    for name in CASES:
        for given in CASES[name].samples:
            which = range(len(Arguments(given, wide=True).values))
            if which:
                b = Batched(name, given, which, 'typed')
                (mapped if is_mapped(b.batched([b.y])) else native).add(name.split('/')[0])
    assert mapped - native - APART == MAPPED


@pytest.mark.parametrize('name', CASES)
def test_a_batch_gives_what_its_examples_give(name: str) -> None:
    for b in _cases(name, 'typed'):
        wanted = b.one_by_one([b.y])
        (ys,) = b.batched([b.y])
        assert ys.type is None or ys.type.shape is None or len(ys.type.shape) == wanted[0].ndim
        assert_same(b.run([ys]), wanted)


@pytest.mark.parametrize('name', CASES)
def test_gradients_of_a_batch_are_those_of_its_examples(name: str) -> None:
    for b in _cases(name, 'typed'):
        if not (b.able and has_derivative(b.one_by_one([b.y])[0])):
            continue
        able = [b.x[i] for i in b.able]
        grads = ad.gradients(b.y, able)
        one_by_one = b.one_by_one(grads)
        # The batch of the gradient, and the gradient of the batch.
        assert_same(b.run(b.batched(grads)), one_by_one)
        (ys,) = b.batched([b.y])
        of_batch = ad.gradients(ys, [b.xs.get(i, b.x[i]) for i in b.able])
        summed = [g if i in b.xs else g.sum(0) for i, g in zip(b.able, one_by_one, strict=True)]
        assert_same(b.run(of_batch), summed)


@pytest.mark.parametrize('name', CASES)
def test_types_are_not_needed(name: str) -> None:
    for b in _cases(name, 'untyped'):
        assert_same(b.run(b.batched([b.y])), b.one_by_one([b.y]))
