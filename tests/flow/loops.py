"""Witnesses: control flow as Python runs it, on tensors."""

from collections.abc import Callable
from typing import Any

import optree
import torch


def scan(
    step: Callable[..., Any], init: Any, xs: Any = None, length: Any = None, *, reverse: bool = False
) -> tuple[Any, Any]:
    """The loop of :func:`adjoint.scan`, step by step."""
    leaves, structure = optree.tree_flatten(xs)
    steps: int = leaves[0].shape[0] if leaves else length
    carry, results = init, [None] * steps
    for i in reversed(range(steps)) if reverse else range(steps):
        carry, results[i] = step(carry, optree.tree_unflatten(structure, [x[i] for x in leaves]))
    if not steps:
        _, y = step(init, optree.tree_unflatten(structure, [x.new_zeros(x.shape[1:]) for x in leaves]))
        return carry, optree.tree_map(lambda y: y.new_empty((0, *y.shape)), y)
    if not optree.tree_leaves(results[0]):
        return carry, results[0]
    return carry, optree.tree_map(lambda *ys: torch.stack(ys), *results)


def cond(condition: Any, on_true: Callable[..., Any], on_false: Callable[..., Any], *operands: Any) -> Any:
    """The choice of :func:`adjoint.cond`."""
    return on_true(*operands) if condition else on_false(*operands)


def while_loop(condition: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any:
    """The loop of :func:`adjoint.while_loop`."""
    carry = init
    while condition(carry):
        carry = body(carry)
    return carry


def fori_loop(lower: Any, upper: Any, body: Callable[..., Any], init: Any) -> Any:
    """The loop of :func:`adjoint.fori_loop`."""
    carry = init
    for i in range(int(lower), int(upper)):
        carry = body(i, carry)
    return carry
