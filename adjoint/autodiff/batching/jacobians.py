"""Rules of batches of what Jacobians are put together with, so that they nest with batches."""

from adjoint.autodiff.batching.operands import Batches, Rule, any_batch, rank_of
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.basis import Basis, JoinAxes, SplitAxis, ZerosBetween, zeros_between
from adjoint.ops.batch import example, spread
from adjoint.ops.shape import flatten, permute, transpose, unsqueeze

__all__ = ['RULES']


def _basis(node: Node, batches: Batches) -> Node:
    batch = any_batch(batches)
    return spread(Node([example(batch)], node.op), batch)


def _zeros_between(node: Node, batches: Batches) -> Node:
    (a, b), (as_, bs) = node.inputs, batches
    last = b if bs is None else example(bs)
    return spread(zeros_between(a, last), any_batch(batches)) if as_ is None else zeros_between(as_, last)


def _split_axis(node: Node, batches: Batches) -> Node | None:
    (a, like), (batch, likes) = node.inputs, batches
    like = like if likes is None else example(likes)
    if batch is None:
        return spread(Node([a, like], node.op, node.attrs), any_batch(batches))
    count, rank = rank_of(like), rank_of(a)
    if count is None or rank is None:
        return None
    # The examples take part as one of the other axes, the first of them.
    at_end = Node([transpose(batch, 0, 1), like], node.op, {'last': True})
    if node.attrs['last']:
        return at_end
    return permute(at_end, (0, *range(rank, rank + count), *range(1, rank)))


def _join_axes(node: Node, batches: Batches) -> Node | None:
    (a, like), (batch, likes) = node.inputs, batches
    if batch is None:
        return spread(
            Node([a, like if likes is None else example(likes)], node.op, node.attrs), any_batch(batches)
        )
    count, rank = rank_of(like), rank_of(a)
    if count is None or rank is None:
        return None
    if count == 0:
        return unsqueeze(batch, 1)
    if not node.attrs['last']:
        return flatten(batch, 1, count)
    joined = flatten(batch, rank - count + 1, rank)
    return permute(joined, (0, rank - count + 1, *range(1, rank - count + 1)))


RULES: dict[type[Op], Rule] = {
    Basis: _basis,
    ZerosBetween: _zeros_between,
    SplitAxis: _split_axis,
    JoinAxes: _join_axes,
}
