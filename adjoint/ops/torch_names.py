"""What a function or method of torch means on nodes.

``torch.sin(node)`` and ``node.sin()`` build the graph through torch's ``__torch_function__`` protocol. Most
names are those of our ops; the others, and those whose parameters differ, are written out here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.errors import ShapeError, UnsupportedOpError
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops import (
    activation,
    arithmetic,
    blend,
    contraction,
    creation,
    cumulative,
    diagonal,
    gamma,
    linear,
    loss,
    moments,
    ordering,
    reduction,
    scatter_reduce,
    select,
    shape,
)
from adjoint.ops.embedding import embedding
from adjoint.ops.index import gather, getitem
from adjoint.ops.normalise import layernorm
from adjoint.ops.step import ge, gt, round_

__all__ = ['BY_NAME', 'BY_PLACE', 'Extreme', 'detach', 'max_', 'min_', 't']


class Extreme(NamedTuple):
    """The extreme entries along an axis, and their positions."""

    values: Node
    indices: Node


def _extreme(whole: Op, position: Op, pairwise: Op) -> Callable[..., Node | Extreme]:
    def extreme(a: Operand, dim: int | Operand | None = None, keepdim: bool = False) -> Node | Extreme:
        if dim is None:
            return whole(a)
        if not isinstance(dim, int):
            return pairwise(a, dim)
        a = as_node(a, whole.name)
        indices = position(a, dim=dim, keepdim=True)
        values = gather(a, dim, indices)
        if keepdim:
            return Extreme(values, indices)
        return Extreme(shape.squeeze(values, dim), shape.squeeze(indices, dim))

    extreme.__doc__ = f"""Return {whole.name} of everything, {pairwise.name} of two, or along an axis.

    Parameters
    ----------
    a : Node, torch.Tensor or number
        Any shape.
    dim : int, or a second operand, optional
        An axis; a node or tensor to compare with entry by entry; nothing for the whole tensor.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    Node or Extreme
        With an axis, ``values`` and ``indices``; the derivative goes to the entry at the index.
        Without one, ties share it evenly.
    """
    return extreme


max_ = _extreme(reduction.amax, reduction.argmax, select.maximum)
min_ = _extreme(reduction.amin, reduction.argmin, select.minimum)


class Detach(creation.Creation):
    """``a`` itself, with no derivative flowing through."""

    axes = ()
    nothing = 'stop'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a


detach = Detach()


def _linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Node:
    product = contraction.matmul(x, shape.transpose(weight, -2, -1))
    return product if bias is None else product + bias


def _layer_norm(
    x: Operand,
    normalized_shape: Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Node:
    y = layernorm(x, normalized_shape, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _reduced(losses: Node, how: str) -> Node:
    if how == 'none':
        return losses
    return reduction.mean(losses) if how == 'mean' else reduction.sum_(losses)


def _mse_loss(x: Operand, target: Operand, *, reduction: str = 'mean') -> Node:
    return _reduced(arithmetic.square(arithmetic.sub(x, target)), reduction)


def _binary_cross_entropy(x: Operand, target: Operand, *, reduction: str = 'mean') -> Node:
    return _reduced(loss.binary_cross_entropy(x, target), reduction)


def _cross_entropy(logits: Operand, target: Operand, *, reduction: str = 'mean') -> Node:
    """Cross-entropy of logits ``(batch, classes, ...)`` with class positions ``(batch, ...)``."""
    logits, target = as_node(logits, 'cross_entropy'), as_node(target, 'cross_entropy')
    if target.type is not None and target.type.is_differentiable and target.type.dtype is not None:
        msg = f'cross_entropy takes class positions, and got {target.type}\n{target.location}'
        raise UnsupportedOpError(msg)
    is_vector = logits.type is not None and logits.type.shape is not None and len(logits.type.shape) == 1
    axis = 0 if is_vector else 1
    chosen = gather(activation.log_softmax(logits, axis), axis, shape.unsqueeze(target, axis))
    return _reduced(-shape.squeeze(chosen, axis), reduction)


def _embedding(
    input: Operand,
    weight: Operand,
    padding_idx: int | None = None,
    *,
    scale_grad_by_freq: bool = False,
) -> Node:
    return embedding(weight, input, -1 if padding_idx is None else padding_idx, scale_grad_by_freq)


def _polygamma(x: Operand, n: int) -> Node:
    return gamma.polygamma(n, x)


def _where(a: Operand, condition: Operand, other: Operand) -> Node:
    return select.where(condition, a, other)


def _spread(op: Callable[..., Node]) -> Callable[..., Node]:
    """Take the parameters of ``std`` and ``var``: the second one may be ``unbiased`` instead of ``dim``."""

    def along(
        x: Operand,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Node:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        return op(x, dim, keepdim, int(unbiased) if correction is None else correction)

    return along


def _softmax(op: Op) -> Callable[..., Node]:
    def along(x: Operand, dim: int, dtype: torch.dtype | None = None, _stacklevel: int = 3) -> Node:
        return op(x if dtype is None else linear.cast(as_node(x, op.name), dtype), dim=dim)

    return along


def _reduction(op: Callable[..., Node]) -> Callable[..., Node]:
    def along(
        x: Operand,
        dim: Any = None,
        keepdim: bool = False,
        *,
        axis: Any = None,
        dtype: torch.dtype | None = None,
    ) -> Node:
        x = x if dtype is None else linear.cast(as_node(x, 'sum'), dtype)
        return op(x, dim if axis is None else axis, keepdim)

    return along


def _reversed(op: Op) -> Callable[..., Node]:
    def swapped(a: Operand, b: Operand) -> Node:
        return op(b, a)

    return swapped


def _to(x: Node, *args: Any, **kwargs: Any) -> Node:
    dtypes = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.dtype)]
    others = [a for a in args if isinstance(a, (Node, torch.Tensor))]
    if dtypes:
        return linear.cast(x, dtypes[0])
    if others:
        return linear.cast(x, others[0].dtype)
    msg = 'a node has no device to be moved from: give its variable on the device that you want'
    raise UnsupportedOpError(msg)


def _same(x: Node, *_: object, **__: object) -> Node:
    return x


def t(a: Operand) -> Node:
    """Return the transpose of a matrix; a vector, or a number without axes, as it is.

    Raises
    ------
    ShapeError
        It is known to have more than two axes.
    """
    a = as_node(a, 't')
    known = a.type.shape if a.type is not None else None
    if known is None or len(known) == 2:  # noqa: PLR2004 a matrix
        return shape.transpose(a, 0, 1)
    if len(known) < 2:  # noqa: PLR2004 same
        return a
    msg = f"'{a}' is {a.type}, and t is of a matrix or a vector: mT exchanges the last two axes\n{a.location}"
    raise ShapeError(msg)


def _clamp(x: Operand, min: Any = None, max: Any = None) -> Node:
    if isinstance(min, (Node, torch.Tensor)) or isinstance(max, (Node, torch.Tensor)):
        y = x if min is None else select.maximum(x, min)
        return as_node(y if max is None else select.minimum(y, max), 'clamp')
    return select.clamp(x, min, max)


def _clamp_max(x: Operand, max: Any) -> Node:
    return _clamp(x, None, max)


# Names whose parameters or meaning are torch's own; beside them every op of ours under its own name.
BY_NAME: dict[str, Callable[..., Any]] = {
    'absolute': arithmetic.abs_,
    'abs': arithmetic.abs_,
    'add': partial(blend.combined, arithmetic.add),
    'bmm': contraction.matmul,
    'broadcast_to': linear.broadcast_to,
    'clamp': _clamp,
    'clamp_max': _clamp_max,
    'clamp_min': _clamp,
    'clip': _clamp,
    'clone': _same,
    'concat': shape.cat,
    'contiguous': _same,
    'cross_entropy': _cross_entropy,
    'cummax': ordering.cummax,
    'cummin': ordering.cummin,
    'detach': detach,
    'divide': arithmetic.div,
    'dot': contraction.matmul,
    'double': partial(linear.cast, dtype=torch.float64),
    'expand': linear.broadcast_to,
    'float': partial(linear.cast, dtype=torch.float32),
    'getitem': getitem,
    'greater': gt,
    'greater_equal': ge,
    'half': partial(linear.cast, dtype=torch.float16),
    'index_reduce': scatter_reduce.index_reduce,
    'kthvalue': ordering.kthvalue,
    'layer_norm': _layer_norm,
    'linear': _linear,
    'logsigmoid': activation.log_sigmoid,
    'max': max_,
    'mean': _reduction(reduction.mean),
    'median': ordering.median,
    'min': min_,
    'mm': contraction.matmul,
    'mode': ordering.mode,
    'mse_loss': _mse_loss,
    'multiply': arithmetic.mul,
    'mv': contraction.matmul,
    'nanmean': _reduction(moments.nanmean),
    'nanmedian': ordering.nanmedian,
    'nansum': _reduction(moments.nansum),
    'negative': arithmetic.neg,
    'numel': Node.numel,
    'pow': arithmetic.pow_,
    'prod': _reduction(cumulative.prod),
    'round': round_,
    'rsub': _reversed(arithmetic.sub),
    'softmax': _softmax(activation.softmax),
    'log_softmax': _softmax(activation.log_softmax),
    'sort': ordering.sort,
    'stack': shape.stack,
    'std': _spread(moments.std),
    'sub': partial(blend.combined, arithmetic.sub),
    'subtract': partial(blend.combined, arithmetic.sub),
    'sum': _reduction(reduction.sum_),
    'swapaxes': shape.transpose,
    't': t,
    'to': _to,
    'topk': ordering.topk,
    'trace': diagonal.trace,
    'true_divide': arithmetic.div,
    'type_as': _to,
    'var': _spread(moments.var),
    'view': shape.reshape,
    'view_as': shape.reshape_like,
}

# Names that torch uses with other parameters in one place; None for what is imported as a program there.
BY_PLACE: dict[tuple[object, str], Callable[..., Any] | None] = {
    (F, 'binary_cross_entropy'): _binary_cross_entropy,
    (F, 'embedding'): _embedding,
    (F, 'embedding_bag'): None,
    (F, 'interpolate'): None,
    (F, 'unfold'): None,
    (torch, 'eig'): None,
    (torch, 'embedding_bag'): None,
    (torch, 'grid_sampler'): None,
    (torch, 'svd'): None,
    (torch.Tensor, 'eig'): None,
    (torch.Tensor, 'polygamma'): _polygamma,
    (torch.Tensor, 'svd'): None,
    (torch.Tensor, 'where'): _where,
}
