"""Derivatives and batches of programs drawn at random, against the transforms of torch."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import assume, event, given
from hypothesis import strategies as st

import adjoint as ad
from tests import torch_func
from tests.execute.drawn_programs import REFUSALS, Drawn, programs
from tests.execute.rounding import outside, reach
from tests.execute.test_graph_properties import share

DOUBLE = (torch.float64,)


@pytest.fixture(autouse=True)
def _what_torch_warns_of_is_torchs() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def like(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Numbers of a shape, the same ones for a seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def last_real(drawn: Drawn) -> int:
    """The position of the last value that can be differentiated."""
    found = [i for i, t in enumerate(drawn.tensors) if t.is_floating_point() or t.is_complex()]
    return found[-1]


def number(drawn: Drawn) -> Callable[..., Any]:
    """A program as a function to one number, in which every entry of its last real value has a part."""
    position = last_real(drawn)
    weights = like(drawn.tensors[position].shape, 5)

    def function(*given_values: Any) -> Any:
        found = drawn.program(given_values)[position]
        return torch.sum(torch.real(found * weights))

    return function


def agree(
    nodes: Sequence[ad.Node], feed: dict[ad.Node, torch.Tensor], wanted: Sequence[torch.Tensor]
) -> None:
    """Fail unless nodes have the values that torch found, as far as rounding can take them."""
    may_be = reach(nodes, feed)
    assume(may_be is not None)
    assert may_be is not None
    found = ad.Evaluator(nodes).run(feed)
    for i, (value, theirs, range_) in enumerate(zip(found, wanted, may_be, strict=True)):
        assert value.shape == theirs.shape
        # Where torch has nan there may be a number: nothing that is masked out matters here.
        told = theirs.isfinite()
        assert value[told].isfinite().all(), f'{i}: {value}, torch {theirs}'
        assert not (outside(theirs, range_) & told).any(), f'{i}: {value}, torch {theirs}, {range_}'


def torch_says(call: Callable[[], Any]) -> Any:
    """What torch finds; an example that it cannot do is none."""
    try:
        return call()
    except REFUSALS:
        assume(condition=False)


@share(0.25)
@given(programs(DOUBLE, wild=False, users=False, most=12))
def test_gradients_of_first_and_second_order_are_those_of_torch(drawn: Drawn) -> None:
    function, values = number(drawn), list(drawn.values.values())
    seeds = [like(v.shape, i) for i, v in enumerate(values)]
    places = tuple(range(len(values)))

    def along(*xs: torch.Tensor) -> torch.Tensor:
        grads = torch_func.grad(function, argnums=places)(*xs)
        return sum((g * s).sum() for g, s in zip(grads, seeds, strict=True))  # pyright: ignore[reportReturnType]

    first = torch_says(lambda: torch_func.grad(function, argnums=places)(*values))
    second = torch_says(lambda: torch_func.grad(along, argnums=places)(*values))
    variables = list(drawn.values)
    gradients = ad.gradients(function(*variables), variables)
    slope = sum(ad.sum(g * s) for g, s in zip(gradients, seeds, strict=True))
    assert isinstance(slope, ad.Node)
    try:
        again = ad.gradients(slope, variables)
    except ad.UnsupportedOpError:
        again, second = [], ()
    event(f'{len(again)} second derivatives')
    agree([*gradients, *again], drawn.values, [*first, *second])


@share(0.25)
@given(programs(DOUBLE, wild=False, users=False, most=12))
def test_tangents_are_those_of_torch(drawn: Drawn) -> None:
    position = last_real(drawn)
    values = list(drawn.values.values())
    tangents = [like(v.shape, i) for i, v in enumerate(values)]

    def function(*xs: Any) -> Any:
        return drawn.program(xs)[position]

    wanted = torch_says(lambda: torch_func.jvp(function, tuple(values), tuple(tangents)))
    variables = list(drawn.values)
    directions = [ad.Variable(f't{i}', tuple(v.shape), v.dtype) for i, v in enumerate(values)]
    found = ad.jvp(function, tuple(variables), tuple(directions))
    feed = {**drawn.values, **dict(zip(directions, tangents, strict=True))}
    agree(found, feed, wanted)


@share(0.25)
@given(programs(DOUBLE, wild=False, users=False, flow=False, most=12), st.data())
def test_batches_are_those_of_torch(drawn: Drawn, data: st.DataObject) -> None:
    values = list(drawn.values.values())
    axes: list[int | None] = [0]
    axes += [data.draw(st.sampled_from((None, 0, v.ndim))) for v in values[1:]]
    stacked = [
        v if axis is None else torch.stack([v, 0.5 * v + like(v.shape, 3), like(v.shape, 4)], axis)
        for v, axis in zip(values, axes, strict=True)
    ]

    def function(*xs: Any) -> Any:
        return tuple(drawn.program(xs))

    wanted = torch_says(lambda: torch_func.vmap(function, tuple(axes))(*stacked))
    variables = [ad.Variable(f'b{i}', tuple(v.shape), v.dtype) for i, v in enumerate(stacked)]
    found = ad.vmap(function, tuple(axes))(*variables)
    agree(found, dict(zip(variables, stacked, strict=True)), wanted)
