"""Rules of batches of the ops that fit shapes to one another, or change them."""

from adjoint.autodiff.batching.kinds import alike, as_decomposed, elementwise, once, shifted, unruled
from adjoint.autodiff.batching.operands import (
    Batches,
    Rule,
    any_batch,
    lifted,
    rank_of,
    size_of_batch,
    spread_all,
)
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.attention import CausalBias
from adjoint.ops.batch import align
from adjoint.ops.cumulative import Prod
from adjoint.ops.flowing import ClipGradient, ScaleGradient
from adjoint.ops.linear import (
    Broadcast,
    BroadcastTo,
    ExpandAs,
    ExpandLike,
    SumToLike,
    broadcast_to,
    expand_as,
    sum_to_like,
)
from adjoint.ops.logic import SameTensor
from adjoint.ops.loss import BinaryCrossEntropy
from adjoint.ops.matrix import IsTall
from adjoint.ops.ordering import Median, Nanmedian
from adjoint.ops.reduction import Argmax, Argmin, Unmean, Unsum
from adjoint.ops.scatter import MaskedFill
from adjoint.ops.select import Where
from adjoint.ops.shape import (
    ExpandAs3d,
    Flatten,
    Permute,
    Reshape,
    Squeeze,
    Unsqueeze,
    flatten,
    reshape_like,
    unsqueeze,
)
from adjoint.ops.tiling import Repeat, Roll, Unrepeat, repeat

__all__ = ['RULES']


# -- to the shape of another ------------------------------------------------------------------------


def _sum_to_like(node: Node, batches: Batches) -> Node:
    a, like = spread_all(node, batches)
    rank, wanted = (rank_of(x) for x in node.inputs)
    if rank is None or wanted is None:
        fitting = align(like, [a], [True], promotes=False)
    elif rank == wanted:
        return sum_to_like(a, like)
    else:
        fitting = lifted(like, wanted, rank)
    return reshape_like(sum_to_like(a, fitting), like)


def _expand_like(node: Node, batches: Batches) -> Node:
    (a, like), (batch, likes) = node.inputs, batches
    if batch is None:
        return Node([a, any_batch(batches)], node.op, node.attrs)
    if likes is None:
        _, likes = spread_all(node, batches)
    rank, wanted = rank_of(a), rank_of(like)
    if rank is None or wanted is None:
        return Node([align(batch, [likes], [True], promotes=False), likes], node.op, node.attrs)
    return Node([lifted(batch, rank, wanted), likes], node.op, node.attrs)


def _broadcast_to(node: Node, batches: Batches) -> Node | None:
    (a,), batch = node.inputs, any_batch(batches)
    shape = node.attrs['shape' if 'shape' in node.attrs else 'target_shape']
    rank = rank_of(a)
    # -1 keeps the size of an axis that is there.
    return None if rank is None else broadcast_to(lifted(batch, rank, len(shape)), (-1, *shape))


# -- views ------------------------------------------------------------------------------------------


def _reshape(node: Node, batches: Batches) -> Node | None:
    size, shape = size_of_batch(batches), node.attrs['shape']
    known = None if node.type is None else node.type.shape
    if size is None or size == 0 or 0 in shape:
        # No size can be left to torch twice, or where there are no entries to tell it from.
        if known is None or not all(isinstance(s, int) and (s or size is not None) for s in known):
            return None
        shape = known
    return Node([any_batch(batches)], node.op, {'shape': (-1 if size is None else size, *shape)})


def _flatten(node: Node, batches: Batches) -> Node | None:
    batch, rank = any_batch(batches), rank_of(node.inputs[0])
    if rank is None:
        return None
    if rank == 0:
        return unsqueeze(batch, 1)
    return flatten(batch, shifted(node.attrs['start_dim']), shifted(node.attrs['end_dim']))


def _squeeze(node: Node, batches: Batches) -> Node | None:
    batch, rank, dim = any_batch(batches), rank_of(node.inputs[0]), node.attrs['dim']
    if rank is None:
        return None
    if rank == 0:
        return batch
    return Node([batch], node.op, {'dim': tuple(range(1, rank + 1)) if dim is None else shifted(dim)})


def _unsqueeze(node: Node, batches: Batches) -> Node:
    return unsqueeze(any_batch(batches), shifted(node.attrs['dim']))


def _permute(node: Node, batches: Batches) -> Node:
    dims: tuple[int, ...] = node.attrs['dims']
    return Node([any_batch(batches)], node.op, {'dims': (0, *(d % len(dims) + 1 for d in dims))})


# -- entries ----------------------------------------------------------------------------------------


def _where(node: Node, batches: Batches) -> Node:
    return elementwise(node, batches, slice(1, None))


def _masked_fill(node: Node, batches: Batches) -> Node:
    return elementwise(node, batches, slice(1))


def _of_reduced(node: Node, batches: Batches) -> Node | None:
    """Batch the way back from a reduction: its axes are those of the second operand."""
    rank, dim = rank_of(node.inputs[1]), node.attrs['dim']
    if not rank:
        return None
    axes = tuple(range(1, rank + 1)) if dim is None else shifted(dim)
    return Node(spread_all(node, batches), node.op, {**node.attrs, 'dim': axes})


def _in_flattened(node: Node, batches: Batches) -> Node | None:
    """Batch an op along ``dim``, or on everything flattened."""
    rank, dim, batch = rank_of(node.inputs[0]), node.attrs['dim'], any_batch(batches)
    if not rank or (dim is None and node.attrs['keepdim']):
        return None
    if dim is None:
        return Node([flatten(batch, 1)], node.op, {**node.attrs, 'dim': 1})
    return Node([batch], node.op, {**node.attrs, 'dim': shifted(dim)})


def _repeat(node: Node, batches: Batches) -> Node | None:
    rank, repeats = rank_of(node.inputs[0]), node.attrs['repeats']
    if rank is None:
        return None
    return repeat(lifted(any_batch(batches), rank, len(repeats)), (1, *repeats))


def _unrepeat(node: Node, batches: Batches) -> Node | None:
    rank, repeats = rank_of(node.inputs[1]), node.attrs['repeats']
    if rank is None:
        return None
    a, like = spread_all(node, batches)
    fitting = lifted(like, rank, len(repeats))
    return reshape_like(Node([a, fitting], node.op, {'repeats': (1, *repeats)}), like)


def _roll(node: Node, batches: Batches) -> Node | None:
    rank, dims, batch = rank_of(node.inputs[0]), node.attrs['dims'], any_batch(batches)
    if rank is None:
        return None
    if rank == 0:
        return batch
    if dims:
        return Node([batch], node.op, {**node.attrs, 'dims': shifted(dims)})
    return reshape_like(Node([flatten(batch, 1)], node.op, {**node.attrs, 'dims': (1,)}), batch)


def _on_three_axes(node: Node) -> Node:
    a, b = node.inputs
    return expand_as(unsqueeze(a, 1), b)


def _clip_gradient(node: Node, batches: Batches) -> Node | None:
    # The norm is that of each example.
    return None if node.attrs.get('max_norm') is not None else alike(node, batches)


RULES: dict[type[Op], Rule] = {
    ScaleGradient: alike,
    ClipGradient: _clip_gradient,
    SumToLike: _sum_to_like,
    ExpandLike: _expand_like,
    ExpandAs: _expand_like,
    BroadcastTo: _broadcast_to,
    Broadcast: _broadcast_to,
    Reshape: _reshape,
    Flatten: _flatten,
    Squeeze: _squeeze,
    Unsqueeze: _unsqueeze,
    Permute: _permute,
    ExpandAs3d: as_decomposed(_on_three_axes),
    Repeat: _repeat,
    Unrepeat: _unrepeat,
    Roll: _roll,
    IsTall: once,
    CausalBias: once,
    Where: _where,
    MaskedFill: _masked_fill,
    BinaryCrossEntropy: alike,
    SameTensor: unruled,
    Median: unruled,
    Nanmedian: unruled,
    Unsum: _of_reduced,
    Unmean: _of_reduced,
    Argmax: _in_flattened,
    Argmin: _in_flattened,
    Prod: _in_flattened,
}
