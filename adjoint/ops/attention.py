"""Attention: the weighted mean of values, by how well queries fit keys."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.order import topological_sort
from adjoint.ops.activation import safe_softmax
from adjoint.ops.contraction import matmul
from adjoint.ops.creation import Creation, Variable
from adjoint.ops.linear import Linear, expand_like, sum_to_like
from adjoint.ops.masks import any_like
from adjoint.ops.random import dropout_mask
from adjoint.ops.reduction import any_, reduction_attrs, sum_
from adjoint.ops.several import items, slots
from adjoint.ops.shape import transpose

__all__ = [
    'Attention', 'AttentionDerivative', 'CausalBias', 'GatheredHeads', 'MaskBias', 'OverRootWidth',
    'RepeatedHeads', 'attention', 'attention_derivative', 'attention_scores', 'attention_weights',
    'by_kernels', 'causal_bias', 'gathered_heads', 'has_kernels', 'mask_bias', 'over_root_width',
    'repeated_heads',
]  # fmt: skip


# Scores of one head from which on the kernels of the processor are faster than products and a softmax: at a
# width of 64 they take 0.8 of the time for this many, a third for 64 times as many (decision 21).
_LONG = 2**16


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
        attrs = {name: node.attrs[name] for name in ('is_causal', 'scale')}
        by_scores: Node | None = None
        if mask is None:
            cts = list(items(Node([query, key, value, output_grad], attention_derivative, attrs)))
        else:
            weights = attention_weights(query, key, mask, **attrs)
            *cts, by_scores = _pulled_back(weights, query, key, value, output_grad, attrs['scale'])
        if node.attrs['enable_gqa']:
            cts[1:] = [gathered_heads(ct, x) for ct, x in zip(cts[1:], node.inputs[1:3], strict=True)]
        found: list[Node | None] = [sum_to_like(ct, x) for ct, x in zip(cts, node.inputs[:3], strict=True)]
        return found if by_scores is None or mask is None else [*found, sum_to_like(by_scores, mask)]


def _scaled(a: Node, scale: float | None) -> Node:
    """Return what scores are linear in, scaled as they are."""
    return over_root_width(a) if scale is None else a * scale


def _through_softmax(weights: Node, ct: Node) -> Node:
    """Return the pullback of a cotangent, which is the pushforward of a tangent too."""
    (by_scores,) = weights.op.gradient(weights, ct)
    assert by_scores is not None  # noqa: S101 softmax gives one
    return by_scores


def _pulled_back(
    weights: Node, query: Node, key: Node, value: Node, ct: Node, scale: float | None
) -> tuple[Node, Node, Node, Node]:
    """Return the cotangents of queries, keys, values and scores, with all axes that were broadcast."""
    by_scores = _through_softmax(weights, matmul(ct, transpose(value, -2, -1)))
    by_value = matmul(transpose(weights, -2, -1), ct)
    by_query = matmul(by_scores, key)
    by_key = matmul(transpose(by_scores, -2, -1), query)
    return _scaled(by_query, scale), _scaled(by_key, scale), by_value, by_scores


class AttentionDerivative(Op):
    """The cotangents of queries, keys and values of ``attention`` without a mask, for one of its value.

    They have all axes that are broadcast. Torch's kernels for them keep no weights of all keys for all
    queries. Where they are not worth it (:func:`has_kernels`) the product, the softmax and the scores are
    computed again, and a plan writes these out (:meth:`written_out`).
    """

    outputs = 3
    vectorises = False

    name = 'attention_derivative'

    @staticmethod
    def written_out(node: Node) -> tuple[Node, Node, Node]:
        """Return the cotangents by smaller ops."""
        query, key, value, ct = node.inputs
        weights = attention_weights(query, key, None, node.attrs['is_causal'], node.attrs['scale'])
        return _pulled_back(weights, query, key, value, ct, node.attrs['scale'])[:3]

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        is_causal, scale = node.attrs['is_causal'], node.attrs['scale']
        query, key, *_ = input_values
        if has_kernels(query.device, query.shape[-2], key.shape[-2]):
            return by_kernels(input_values, is_causal, scale)
        inputs, outputs = _template(is_causal, scale)
        values: dict[Node, Any] = dict(zip(inputs, input_values, strict=True))
        for each in topological_sort(outputs, behind=inputs):
            if each not in values:
                values[each] = each.op.compute(each, [values[x] for x in each.inputs])
        return tuple(values[y] for y in outputs)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangents of what the pushforward of attention along those of the value's is."""
        query, key, value, ct = node.inputs
        along_query, along_key, along_value = slots(output_grad)
        scale = node.attrs['scale']
        weights = attention_weights(query, key, None, node.attrs['is_causal'], scale)
        by_weights = matmul(ct, transpose(value, -2, -1))
        by_scores = _through_softmax(weights, by_weights)
        pushed: list[Node] = []  # terms of the tangent of the value
        by_query: list[Node] = []
        by_key: list[Node] = []
        by_value: Node | None = None
        through: list[Node] = []  # terms of the cotangent of the weights
        tangents: list[Node] = []  # of the scores
        if along_query is not None:
            tangents.append(matmul(_scaled(along_query, scale), transpose(key, -2, -1)))
            by_key.append(matmul(transpose(by_scores, -2, -1), _scaled(along_query, scale)))
        if along_key is not None:
            tangents.append(matmul(_scaled(query, scale), transpose(along_key, -2, -1)))
            by_query.append(_scaled(matmul(by_scores, along_key), scale))
        if tangents:
            tangent = _total(tangents)
            moved = _through_softmax(weights, tangent)
            pushed.append(matmul(moved, value))
            by_value = matmul(transpose(moved, -2, -1), ct)
            means = [sum_(weights * x, -1, keepdim=True) for x in (tangent, by_weights)]
            through.append(by_weights * (tangent - means[0]) - tangent * means[1])
        if along_value is not None:
            pushed.append(matmul(weights, along_value))
            through.append(matmul(ct, transpose(along_value, -2, -1)))
        both = _through_softmax(weights, _total(through))
        by_query.append(_scaled(matmul(both, key), scale))
        by_key.append(_scaled(matmul(transpose(both, -2, -1), query), scale))
        found = [_total(by_query), _total(by_key), by_value, _total(pushed)]
        return [None if c is None else sum_to_like(c, x) for c, x in zip(found, node.inputs, strict=True)]


def _total(terms: Sequence[Node]) -> Node:
    first, *others = terms
    for term in others:
        first = first + term
    return first


@lru_cache(maxsize=16)
def _template(is_causal: bool, scale: float | None) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the derivative by smaller ops, on variables."""
    inputs = tuple(Variable(name) for name in ('query', 'key', 'value', 'ct'))
    node = Node(inputs, attention_derivative, {'is_causal': is_causal, 'scale': scale})
    return inputs, attention_derivative.written_out(node)


def has_kernels(device: torch.device | None, queries: int, keys: int) -> bool:
    """Whether torch's kernels compute the derivative faster: on a GPU, and for long sequences."""
    if device is None or device.type == 'cpu':
        return queries * keys >= _LONG
    return device.type == 'cuda'


def by_kernels(
    values: Sequence[torch.Tensor], is_causal: bool, scale: float | None
) -> tuple[torch.Tensor, ...]:
    """Return the cotangents as torch's own derivative gives them."""
    *operands, ct = values
    batch = torch.broadcast_shapes(*(x.shape[:-2] for x in operands))
    given = [x.expand(*batch, *x.shape[-2:]) for x in operands]

    def value(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(query, key, value, is_causal=is_causal, scale=scale)

    pullback: Any = torch.func.vjp(value, *given)[1]
    return pullback(ct.expand(*batch, *ct.shape[-2:]))


attention = Attention()
attention_derivative = AttentionDerivative()
