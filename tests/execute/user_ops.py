"""Ops as users write them, of every kind that a plan has to mistrust; on tensors, what they mean."""

from collections.abc import Sequence
from typing import Any

import torch

import adjoint as ad
from adjoint.ops.several import items
from tests.execute.agreement import same

__all__ = ['VOCABULARY', 'Keeper', 'echo', 'window']


class Echo(ad.Op):
    """Returns its operand itself."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return input_values[0]

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        return [output_grad]


class Window(ad.Op):
    """Returns a view."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return first_half(input_values[0])


class Keeper(ad.Op):
    """Always returns the same tensor, and keeps what it is given."""

    shareable = False  # it is more than a function of its operand

    def __init__(self) -> None:
        self.own = torch.arange(4.0)
        self.given: torch.Tensor | None = None

    def infer(self, node: ad.Node, input_types: Sequence[ad.TensorType]) -> ad.TensorType:
        return ad.TensorType.of(self.own)

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        if self.given is not None and self.given.shape == input_values[0].shape:
            assert same(self.given, node.attrs['copy'][0]), 'what a user keeps was written over'
        self.given = input_values[0]
        node.attrs['copy'][:] = [self.given.clone()]
        return self.own


class Halves(ad.Op):
    """Has two outputs: views of its operand."""

    outputs = 2

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return first_and_rest(input_values[0])


def first_half(a: torch.Tensor) -> torch.Tensor:
    return a.flatten()[: max(a.numel() // 2, 1)]


def first_and_rest(a: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return a.flatten()[:1], a.flatten()[1:]


echo, window, halves = Echo(), Window(), Halves()


def of_a_scan(step: Any, init: Any, xs: Any) -> Any:
    """A loop over the first axis; on tensors, Python's own."""
    if isinstance(init, ad.Node) or isinstance(xs, ad.Node):
        return ad.scan(step, init, xs)
    found: list[torch.Tensor] = []
    for x in xs:
        init, y = step(init, x)
        found.append(y)
    return init, torch.stack(found)


def of_a_choice(condition: Any, on_true: Any, on_false: Any, x: Any) -> Any:
    """A choice between two functions; on tensors, Python's own."""
    if isinstance(x, ad.Node):
        return ad.cond(condition, on_true, on_false, x)
    return on_true(x) if condition else on_false(x)


def of_like_size(x: Any, like: Any) -> Any:
    """A sum over what broadcasting repeated; on tensors, by its definition."""
    if isinstance(x, ad.Node):
        return ad.sum_to_like(x, like)
    if not (like.is_floating_point() or like.is_complex()):
        return torch.zeros_like(like)
    whole = x.sum_to_size(like.shape)
    return (whole.real if whole.is_complex() and not like.is_complex() else whole).to(like.dtype)


# What drawn programs may name beside torch and adjoint: the same for nodes and for tensors.
VOCABULARY = {
    'echo': lambda x: echo(x) if isinstance(x, ad.Node) else x,
    'window': lambda x: window(x) if isinstance(x, ad.Node) else first_half(x),
    'halves': lambda x: tuple(items(halves(x))) if isinstance(x, ad.Node) else first_and_rest(x),
    'keeper': lambda x: Keeper()(x, copy=[]) if isinstance(x, ad.Node) else torch.arange(4.0),
    'alias': lambda x: ad.alias(x) if isinstance(x, ad.Node) else x.view(x.shape),
    'sum_to_like': of_like_size,
    'scan': of_a_scan,
    'cond': of_a_choice,
}
