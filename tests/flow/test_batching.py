"""Choices and loops on a batch: against single runs, in each order of `vmap` and `grad`."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.ops.random import drawn_normal

F64 = torch.float64
XS = torch.linspace(-1.5, 2.0, 12, dtype=F64).reshape(4, 3)
W = torch.tensor([0.3, -0.7, 1.1], dtype=F64)
SEQUENCE = torch.linspace(-1, 1, 15, dtype=F64).reshape(5, 3)


def cond_of_one(x: Any) -> Any:
    return ad.cond(W.sum() > 0, lambda x: torch.sin(x) * W, lambda x: x * x, x).sum()


def cond_of_each(x: Any) -> Any:
    a, b = ad.cond(x.sum() > 0, lambda x: (torch.sin(x) * W, x.sum()), lambda x: (x * x, W.sum()), x)
    return a.sum() * b


def switch_of_each(x: Any) -> Any:
    index = (x.sum() > -2).to(torch.int64) + (x.sum() > 1).to(torch.int64) * 4 - 1
    return ad.switch(index, [torch.sin, torch.cos, torch.exp], x).sum()


def scan_of_carries(x: Any) -> Any:
    last, ys = ad.scan(lambda c, s: (torch.tanh(c * W + s), (c * s).sum()), x, SEQUENCE)
    return last.sum() + (ys * ys).sum()


def scan_of_slices(x: Any) -> Any:
    def step(carry: Any, y: Any) -> Any:
        a, b, n = carry
        return (a * y, b + a, n + 1), (a + y, n)

    (a, b, n), (ys, ns) = ad.scan(step, (torch.ones((), dtype=F64), 0.0, 0), x, reverse=True)
    return a + b * n + (ys * ns).sum()


def scan_of_constants(x: Any) -> Any:
    last, _ = ad.scan(lambda c, s: (torch.sin(c * x + s), None), W, SEQUENCE)
    return last.sum()


def long_scan(x: Any) -> Any:
    return ad.scan(lambda c, s: (torch.sin(c * x + s), None), W, SEQUENCE, checkpoint=2)[0].sum()


def fori_loop(x: Any) -> Any:
    return ad.fori_loop(0, 4, lambda i, c: torch.sin(c) * x + i, W).sum()


def ranges(x: Any) -> Any:
    steps = (x.sum() > 0).to(torch.int64) * 2 + 1
    return ad.fori_loop(0, steps, lambda _, c: torch.sin(c) * x, W).sum()


def while_of_one(x: Any) -> Any:
    _, y = ad.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, torch.sin(c[1]) * x), (0, W))
    return y.sum()


def while_of_each(x: Any) -> Any:
    return ad.while_loop(lambda c: c.sum() < 3, lambda c: c * 1.5 + 0.5 + x * x / 4, x).sum()


def checkpointed(x: Any) -> Any:
    return ad.checkpoint(lambda x: torch.sin(x) * torch.exp(x))(x).sum()


CASES: list[Callable[..., Any]] = [
    cond_of_one, cond_of_each, switch_of_each, scan_of_carries, scan_of_slices, scan_of_constants, long_scan,
    fori_loop, ranges, while_of_one, while_of_each, checkpointed,
]  # fmt: skip


def stacked(function: Callable[..., Any], xs: torch.Tensor) -> torch.Tensor:
    return torch.stack([function(x) for x in xs])


def agree(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('case', CASES)
def test_value(case: Callable[..., Any]) -> None:
    agree(ad.vmap(case)(XS), stacked(case, XS))


@pytest.mark.parametrize('case', CASES)
def test_vmap_of_grad(case: Callable[..., Any]) -> None:
    agree(ad.vmap(ad.grad(case))(XS), stacked(ad.grad(case), XS))


@pytest.mark.parametrize('case', CASES)
def test_grad_of_vmap(case: Callable[..., Any]) -> None:
    agree(ad.grad(lambda xs: torch.sin(ad.vmap(case)(xs)).sum())(XS), stacked(_of_sine(case), XS))


def _of_sine(case: Callable[..., Any]) -> Callable[..., Any]:
    return ad.grad(lambda x: torch.sin(case(x)))


@pytest.mark.parametrize('case', CASES)
def test_second_order(case: Callable[..., Any]) -> None:
    second = ad.grad(lambda x: torch.sin(ad.grad(case)(x)).sum())
    agree(ad.vmap(second)(XS), stacked(second, XS))


@pytest.mark.parametrize('case', CASES)
def test_nested(case: Callable[..., Any]) -> None:
    xs = torch.stack([XS, XS.flip(0) * 0.5])
    agree(ad.vmap(ad.vmap(case))(xs), torch.stack([stacked(case, x) for x in xs]))


@pytest.mark.parametrize('case', [cond_of_each, scan_of_slices, long_scan, while_of_each, checkpointed])
def test_the_graph_does_not_grow_with_the_batch_and_maps_nothing(case: Callable[..., Any]) -> None:
    graph = ad.vmap(case).graph(XS)
    assert not any(node.op.name == 'map' for node in ad.topological_sort(graph.outputs))


def test_no_nan_comes_from_the_branch_that_an_example_does_not_take() -> None:
    def root(x: Any) -> Any:
        return ad.cond(x > 0, torch.sqrt, lambda x: x * 3, x)

    xs = torch.tensor([4.0, 0.0, -1.0], dtype=F64)
    wanted = torch.tensor([0.25, 3.0, 3.0], dtype=F64)
    agree(ad.vmap(ad.grad(root))(xs), wanted)
    agree(ad.grad(lambda xs: ad.vmap(root)(xs).sum())(xs), wanted)


def test_what_is_captured_may_be_the_same_for_all() -> None:
    def loss(x: Any, w: Any) -> Any:
        return ad.scan(lambda c, s: (torch.tanh(c * w + s), None), x, SEQUENCE)[0].sum()

    got = ad.vmap(ad.grad(loss, (0, 1)), in_axes=(0, None))(XS, W)
    for i, g in enumerate(got):
        agree(g, torch.stack([ad.grad(loss, (0, 1))(x, W)[i] for x in XS]))


def test_draws_of_each_example() -> None:
    def noisy(x: Any) -> Any:
        return ad.scan(lambda c, s: (c + s * drawn_normal((3,), dtype=F64, seed=1), None), x, SEQUENCE)[0]

    xs = torch.zeros(4, 3, dtype=F64)
    with pytest.raises(ad.UnsupportedOpError, match='draws random values'):
        ad.vmap(noisy)(xs)
    same = ad.vmap(noisy, randomness='same')(xs)
    assert torch.equal(same[0], same[1])
    assert not torch.equal(*ad.vmap(noisy, randomness='different')(xs)[:2])
