"""Random values on a batch: the same for every example, or drawn for each."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from adjoint.autodiff.batching.operands import Batches, lined_up, rank_of, size_of_batch
from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.batch import example, split_like, spread
from adjoint.ops.linear import cast
from adjoint.ops.ordering import argsort
from adjoint.ops.random import (
    DrawnBernoulli,
    DrawnBinomial,
    DrawnMultinomial,
    DrawnPermutation,
    DrawnPoisson,
    DropoutMask,
    Filled,
    RreluNoise,
    drawn_uniform,
)
from adjoint.ops.ranges import full
from adjoint.ops.shape import flatten

__all__ = ['Randomness', 'drawn', 'inseparable', 'undecided']

Randomness: TypeAlias = Literal['error', 'same', 'different']


def undecided(node: Node) -> UnsupportedOpError:
    """Return the error about a random node where nothing says how its values are drawn."""
    return UnsupportedOpError(
        f"'{node}' draws random values, and nothing says how for the examples of a batch: with "
        f"randomness='different' each example has its own, with randomness='same' all have the same\n"
        f'{node.location}'
    )


def inseparable(node: Node) -> UnsupportedOpError:
    """Return the error about a random node that there is no way to draw for each example."""
    return UnsupportedOpError(
        f"'{node}' cannot be drawn for each example of a batch: say randomness='same', or draw outside, for "
        f'all examples at once\n{node.location}'
    )


def drawn(node: Node, batches: Batches, like: Node, randomness: Randomness) -> Node:
    """Batch a node that draws: ``like`` is a batch, for the number of examples.

    Raises
    ------
    UnsupportedOpError
        How it is drawn is not decided; or it cannot be drawn for each example.
    """
    if randomness == 'error':
        raise undecided(node)
    return _for_all(node, batches) if randomness == 'same' else _for_each(node, batches, like)


def _for_all(node: Node, batches: Batches) -> Node:
    op, batch = node.op, next(b for b in batches if b is not None)
    if isinstance(op, (Filled, DropoutMask)) and not isinstance(op, RreluNoise):
        # Only the shape of an example counts.
        return spread(Node([example(batch)], op, node.attrs), batch)
    # From one seed, the numbers that are compared with each example are the same.
    return op.batch(node, batches)


def _for_each(node: Node, batches: Batches, like: Node) -> Node:
    operands = [spread(x, like) if b is None else b for x, b in zip(node.inputs, batches, strict=True)]
    rule = next((r for kind, r in _RULES.items() if isinstance(node.op, kind)), None)
    found = None if rule is None else rule(node, operands, like)
    if found is None:
        raise inseparable(node)
    return found


_Rule: TypeAlias = Callable[[Node, list[Node], Node], Node | None]


def _filled(node: Node, operands: list[Node], like: Node) -> Node:
    if operands:
        return Node(operands, node.op, node.attrs)
    attrs = dict(node.attrs)
    count = size_of_batch([like])
    if count is not None:
        return Node([], node.op, {**attrs, 'size': (count, *attrs['size'])})
    blank = full(attrs.pop('size'), 0, dtype=attrs['dtype'] or node.dtype, device=attrs.pop('device'))
    return Node([spread(blank, like)], node.op, attrs)


def _dropout(node: Node, operands: list[Node], _: Node) -> Node | None:
    (a,) = operands
    if not node.attrs['by_feature']:
        return Node([a], node.op, node.attrs)
    # One number for each of the first two axes of an example.
    return split_like(Node([flatten(a, 0, 1)], node.op, node.attrs), a)


def _entries(node: Node, operands: list[Node], _: Node) -> Node | None:
    found = lined_up(node, operands)
    return None if found is None else Node(found, node.op, node.attrs)


def _rows(node: Node, operands: list[Node], _: Node) -> Node | None:
    (weights,), rank = operands, rank_of(node.inputs[0])
    if rank is None:
        return None
    if rank == 1:
        return Node([weights], node.op, node.attrs)
    return split_like(Node([flatten(weights, 0, 1)], node.op, node.attrs), weights)


def _permutations(node: Node, _: list[Node], like: Node) -> Node | None:
    attrs, count = node.attrs, size_of_batch([like])
    if count is None:
        return None
    keys = drawn_uniform((count, attrs['n']), device=attrs['device'], seed=attrs['seed'])
    return cast(argsort(keys), attrs['dtype'])


_RULES: dict[type[Op], _Rule] = {
    Filled: _filled,
    DropoutMask: _dropout,
    DrawnBernoulli: _entries,
    DrawnPoisson: _entries,
    DrawnBinomial: _entries,
    DrawnMultinomial: _rows,
    DrawnPermutation: _permutations,
}
