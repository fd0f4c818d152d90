"""Attention: the weighted mean of values, by how well queries fit keys."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.activation import safe_softmax
from adjoint.ops.contraction import matmul
from adjoint.ops.creation import Creation
from adjoint.ops.linear import Linear, expand_like, sum_to_like
from adjoint.ops.masks import any_like
from adjoint.ops.random import dropout_mask
from adjoint.ops.reduction import any_, reduction_attrs
from adjoint.ops.shape import transpose

__all__ = [
    'Attention', 'CausalBias', 'GatheredHeads', 'MaskBias', 'OverRootWidth', 'RepeatedHeads', 'attention',
    'attention_scores', 'attention_weights', 'causal_bias', 'gathered_heads', 'mask_bias',
    'over_root_width', 'repeated_heads',
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


class MaskBias(Linear):
    """A mask as what is added to scores: a boolean one as 0 and ``-inf``, in the dtype of ``like``."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        mask, like = input_values
        if mask.dtype != torch.bool:
            return mask.to(like.dtype)
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask, -torch.inf)

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
        """Return the pullback through the product, the softmax and the scores, all computed again."""
        query, key, value = self._heads(node)
        mask = node.inputs[3] if len(node.inputs) > 3 else None  # noqa: PLR2004 the fourth operand
        scale, attrs = node.attrs['scale'], node.attrs
        weights = attention_weights(query, key, mask, attrs['is_causal'], scale)
        by_weights = matmul(output_grad, transpose(value, -2, -1))
        by_value = matmul(transpose(weights, -2, -1), output_grad)
        (by_scores,) = weights.op.gradient(weights, by_weights)
        assert by_scores is not None  # noqa: S101 softmax gives one
        by_query = matmul(by_scores, key)
        by_key = matmul(transpose(by_scores, -2, -1), query)
        cts = [over_root_width(ct) if scale is None else ct * scale for ct in (by_query, by_key)] + [by_value]
        if attrs['enable_gqa']:
            cts[1:] = [gathered_heads(ct, x) for ct, x in zip(cts[1:], node.inputs[1:3], strict=True)]
        found: list[Node | None] = [sum_to_like(ct, x) for ct, x in zip(cts, node.inputs[:3], strict=True)]
        if mask is not None:
            found.append(sum_to_like(by_scores, mask))
        return found


attention = Attention()
