"""Attention: the weighted mean of values, by how well queries fit keys."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.activation import safe_softmax
from adjoint.ops.composed import Composed
from adjoint.ops.contraction import matmul
from adjoint.ops.creation import Creation
from adjoint.ops.linear import Linear, expand_like, sum_to_like
from adjoint.ops.masks import any_like
from adjoint.ops.random import dropout_mask
from adjoint.ops.reduction import any_, logsumexp, reduction_attrs
from adjoint.ops.several import items
from adjoint.ops.shape import transpose

__all__ = [
    'Attention', 'AttentionPullback', 'AttentionWithLogsumexp', 'CausalBias', 'GatheredHeads', 'MaskBias',
    'OverRootWidth', 'RepeatedHeads', 'attention', 'attention_pullback', 'attention_scores',
    'attention_weights', 'attention_with_logsumexp', 'causal_bias', 'fits_kernel', 'gathered_heads',
    'mask_bias', 'over_root_width', 'repeated_heads',
]  # fmt: skip


class OverRootWidth(Linear):
    """``a`` divided by the root of the size of its last axis; its own adjoint."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a / math.sqrt(a.shape[-1]) if a.shape[-1] else a

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (over_root_width(ct),)


class CausalBias(Creation):
    """For scores ``(..., queries, keys)``: 0 where the key is not behind the query, else ``-inf``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (scores,) = input_values
        blank = torch.full(scores.shape[-2:], -torch.inf, dtype=scores.dtype, device=scores.device)
        return blank.triu(1)


def _as_bias(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask, -torch.inf)


class MaskBias(Linear):
    """A mask as what is added to scores: a boolean one as 0 and ``-inf``, in the dtype of ``like``."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        mask, like = input_values
        return _as_bias(mask, like)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        mask, _ = node.inputs
        return sum_to_like(ct, mask), None


class RepeatedHeads(Linear):
    """``a`` with its heads, on axis -3, repeated until there are as many as in ``like``."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        heads, wanted = a.shape[-3], like.shape[-3]
        if wanted % heads:
            msg = f'{wanted} heads of queries are no multiple of {heads} heads of keys or values'
            raise ValueError(msg)
        return a.repeat_interleave(wanted // heads, -3)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return gathered_heads(ct, a), None


class GatheredHeads(Linear):
    """The sums of neighbouring heads of ``a``, on axis -3, as many as in ``like``.

    The adjoint of ``repeated_heads``.
    """

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        heads: int = like.shape[-3]
        return a.reshape(*a.shape[:-3], heads, a.shape[-3] // heads, *a.shape[-2:]).sum(-3)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return repeated_heads(ct, a), None


# Examples, heads, places and widths: what the kernel takes.
_RANK = 4

over_root_width = OverRootWidth()
causal_bias = CausalBias()
mask_bias = MaskBias()
repeated_heads = RepeatedHeads()
gathered_heads = GatheredHeads()


def attention_scores(
    query: Node, key: Node, mask: Node | None = None, is_causal: bool = False, scale: float | None = None
) -> Node:
    """Return how well each query fits each key, with the mask added."""
    query = over_root_width(query) if scale is None else query * scale
    scores = matmul(query, transpose(key, -2, -1))
    if mask is not None:
        scores = scores + mask_bias(mask, scores)
    return scores + causal_bias(scores) if is_causal else scores


def attention_weights(
    query: Node,
    key: Node,
    mask: Node | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> Node:
    """Return the weight of each key for each query: they sum to 1, or are all 0 where all is masked."""
    weights = safe_softmax(attention_scores(query, key, mask, is_causal, scale), -1)
    return weights * dropout_mask(weights, dropout_p, seed=seed) if dropout_p > 0 else weights


class Attention(Op):
    """``softmax(query @ key^T * scale + mask) @ value``, as ``scaled_dot_product_attention``.

    Notes
    -----
    Where all keys are masked the result is 0, and so are the cotangents.
    """

    vectorises = False

    name = 'attention'

    def __call__(
        self,
        query: Operand,
        key: Operand,
        value: Operand,
        mask: Operand | None = None,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        query : Node or torch.Tensor
            ``(..., queries, width)``.
        key : Node or torch.Tensor
            ``(..., keys, width)``.
        value : Node or torch.Tensor
            ``(..., keys, values)``.
        mask : Node or torch.Tensor, optional
            Added to the scores ``(..., queries, keys)``; or booleans, false where a key does not count.
        is_causal : bool
            Whether a query sees only the keys up to its own position.
        scale : float, optional
            Of the scores; one over the root of the width by default.
        enable_gqa : bool
            Whether each head of keys and values serves several heads of queries.
        """
        operands = [query, key, value, *(() if mask is None else (mask,))]
        attrs = {'is_causal': is_causal, 'scale': scale, 'enable_gqa': enable_gqa}
        return Node([as_node(x, self.name) for x in operands], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        query, key, value, *mask = input_values
        attrs = node.attrs
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            mask[0] if mask else None,
            is_causal=attrs['is_causal'],
            scale=attrs['scale'],
            enable_gqa=attrs['enable_gqa'],
        )

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the rows of queries that have a marked entry, and all keys and values where there is one."""
        if mask is None:
            return [None] * len(node.inputs)
        marked = expand_like(mask, node)
        rows, any_row = (Node([marked], any_, reduction_attrs(d, keepdim=True)) for d in (-1, (-2, -1)))
        query, key, value, *bias = node.inputs
        # One head of keys for several of queries is not lined up with the mask.
        others = [None, None] if node.attrs['enable_gqa'] else [any_like(any_row, x) for x in (key, value)]
        return [any_like(rows, query), *others, *(any_like(rows, x) for x in bias)]

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the rows of marked queries, where no key, value or mask moves."""
        query, *others = masks
        if not isinstance(query, Node) or any(m is not False for m in others):
            return None
        return Node([expand_like(query, node.inputs[0])], any_, reduction_attrs(-1, keepdim=True))

    @staticmethod
    def _heads(node: Node) -> tuple[Node, Node, Node]:
        """Return queries, keys and values with equal numbers of heads."""
        query, key, value = node.inputs[:3]
        if node.attrs['enable_gqa']:
            return query, repeated_heads(key, query), repeated_heads(value, query)
        return query, key, value

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the pullback, of an added mask that of the scores."""
        query, key, value = self._heads(node)
        mask = node.inputs[3:]
        attrs = {name: node.attrs[name] for name in ('is_causal', 'scale')}
        whole = Node([query, key, value, output_grad, *mask], attention_pullback, attrs)
        cts = list(items(whole))
        if node.attrs['enable_gqa']:
            cts[1:] = [gathered_heads(ct, x) for ct, x in zip(cts[1:], node.inputs[1:3], strict=True)]
        found: list[Node | None] = [sum_to_like(ct, x) for ct, x in zip(cts, node.inputs[:3], strict=True)]
        return found if not mask else [*found, sum_to_like(attention_pullback.by_scores(whole), mask[0])]


class AttentionPullback(Composed):
    """The cotangents of queries, keys and values of ``attention``, from that of its value.

    Its operands are the queries, the keys, the values, the cotangent and, where there is one, the mask. Those
    of ``attention_with_logsumexp`` may follow: they are then not computed again.
    """

    axes = ()
    outputs = 3
    vectorises = False
    name = 'attention_pullback'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        query, key, value, ct, *more = input_values
        mask = more[0] if len(more) % 2 else None
        if query.is_cuda and not _is_recorded(*input_values):
            return _by_torch(node, [query, key, value], ct, mask)
        if not _is_for_kernel(query, key, value, mask) or ct.shape != query.shape or _is_recorded(ct):
            return tuple(self.by_parts(node, input_values))
        bias = None if mask is None else _as_bias(mask, query)
        whole = more[-2:] if len(more) > 1 else _with_logsumexp(node, query, key, value, bias)
        ct = ct if ct.stride(-1) == 1 else ct.contiguous()
        attrs = node.attrs
        return _flash_backward(
            ct, query, key, value, *whole, 0.0, attrs['is_causal'], attn_mask=bias, scale=attrs['scale']
        )

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Infer those of the operands where no axis is broadcast, else as any op."""
        given = input_types[:4]
        fronts = {None if t.shape is None else t.shape[:-2] for t in given}
        is_plain = len(fronts) == len({t.dtype for t in given}) == 1 and None not in fronts
        return TensorType(items=tuple(given[:3])) if is_plain else super().infer(node, input_types)

    def written(self, node: Node) -> Sequence[Node]:
        query, key, _, ct = node.inputs[:4]
        scale = node.attrs['scale']
        weights, by_scores = self._weights(node), self.by_scores(node)
        by_query, by_key = matmul(by_scores, key), matmul(transpose(by_scores, -2, -1), query)
        scaled = [over_root_width(by) if scale is None else by * scale for by in (by_query, by_key)]
        return [*scaled, matmul(transpose(weights, -2, -1), ct)]

    def by_scores(self, node: Node) -> Node:
        """Return the cotangent of the scores."""
        _, _, value, ct = node.inputs[:4]
        weights = self._weights(node)
        (found,) = weights.op.gradient(weights, matmul(ct, transpose(value, -2, -1)))
        assert found is not None  # noqa: S101 softmax gives one
        return found

    @staticmethod
    def _weights(node: Node) -> Node:
        query, key, _, _, *more = node.inputs
        mask = more[0] if len(more) % 2 else None
        return attention_weights(query, key, mask, node.attrs['is_causal'], node.attrs['scale'])


class AttentionWithLogsumexp(Composed):
    """The value of ``attention``, and the logarithms of the sums of the exponentials of the scores."""

    axes = ()
    outputs = 2
    vectorises = False
    name = 'attention_with_logsumexp'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        query, key, value, *mask = input_values
        if not _is_for_kernel(query, key, value, *mask):
            return tuple(self.by_parts(node, input_values))
        return _with_logsumexp(node, query, key, value, _as_bias(mask[0], query) if mask else None)

    def written(self, node: Node) -> Sequence[Node]:
        query, key, value, *mask = node.inputs
        is_causal, scale = node.attrs['is_causal'], node.attrs['scale']
        bias = mask[0] if mask else None
        scores = attention_scores(query, key, bias, is_causal, scale)
        return [attention(query, key, value, bias, is_causal, scale), logsumexp(scores, -1)]


attention = Attention()
attention_pullback = AttentionPullback()
attention_with_logsumexp = AttentionWithLogsumexp()

_aten: Any = torch.ops.aten
_flash: Any = _aten._scaled_dot_product_flash_attention_for_cpu.default  # noqa: SLF001 ops of ATen
_flash_backward: Any = _aten._scaled_dot_product_flash_attention_for_cpu_backward.default  # noqa: SLF001


def _with_logsumexp(
    node: Node, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, ...]:
    attrs = node.attrs
    return _flash(query, key, value, 0.0, attrs['is_causal'], attn_mask=bias, scale=attrs['scale'])


def _by_torch(
    node: Node, operands: Sequence[torch.Tensor], ct: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, ...]:
    """Return the cotangents by the kernels that torch chooses for a GPU, with all axes that are broadcast."""
    front = cast('tuple[int, ...]', torch.broadcast_shapes(*(x.shape[:-2] for x in (*operands, ct))))
    *given, ct = (x.expand(*front, *x.shape[-2:]) for x in (*operands, ct))
    is_causal, scale = node.attrs['is_causal'], node.attrs['scale']

    def value(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal, scale=scale)

    pullback: Any = torch.func.vjp(value, *given)[1]
    return pullback(ct)


def _is_recorded(*values: torch.Tensor) -> bool:
    """Whether torch's autograd records; the kernel for the pullback has no derivative."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in values)


def _is_for_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> bool:
    """Whether ``scaled_dot_product_attention`` takes the kernel for a CPU that keeps no scores."""
    given = (query, key, value)
    every = given if mask is None else (*given, mask)
    is_taken = (
        torch.backends.cuda.flash_sdp_enabled()  # of all devices
        and all(x.device.type == 'cpu' and x.stride(-1) == 1 for x in given)
        and not _is_recorded(*every)
    )
    return is_taken and fits_kernel([tuple(x.shape) for x in every], [x.dtype for x in every])


def fits_kernel(shapes: Sequence[tuple[int, ...]], dtypes: Sequence[torch.dtype]) -> bool:
    """Return whether torch has a kernel that keeps no scores for a CPU.

    Parameters
    ----------
    shapes, dtypes : sequence
        Of queries, keys and values, and of a mask where there is one.
    """
    query, key, value, *masks = shapes
    dtype, *others = dtypes
    is_dense = len(query) == _RANK and dtype in {torch.float32, torch.float64} and 0 not in (*query, *key)
    if not is_dense or {*others[:2]} != {dtype} or key != value or key != (*query[:2], *key[2:3], query[3]):
        return False
    if not masks:
        return True
    (mask,) = masks
    wanted = (*query[:3], key[2])[-len(mask) :]
    is_broadcast = len(mask) in {2, _RANK} and all(a in {1, b} for a, b in zip(mask, wanted, strict=True))
    return is_broadcast and others[2] in {dtype, torch.bool}
