"""ATen: attention and embedding."""

from typing import Any

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops.attention import attention, attention_scores, attention_weights, repeated_heads
from adjoint.ops.contraction import matmul
from adjoint.ops.embedding import bag_index, embedding, embedding_bag, unembedding
from adjoint.ops.reduction import logsumexp
from adjoint.ops.torch_names import detach

__all__ = ['BUILDERS', 'embedding_backward']

Some = Node | None


def _attention(
    query: Node,
    key: Node,
    value: Node,
    attn_mask: Some = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    seed: int = 0,
) -> Node:
    if dropout_p == 0:
        return attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    if enable_gqa:
        key, value = repeated_heads(key, query), repeated_heads(value, query)
    return matmul(attention_weights(query, key, attn_mask, is_causal, scale, dropout_p, seed), value)


def _log_sums(query: Node, key: Node, mask: Some, is_causal: bool, scale: float | None) -> Node:
    return detach(logsumexp(attention_scores(query, key, mask, is_causal, scale), -1))


def _flash_for_cpu(
    query: Node,
    key: Node,
    value: Node,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Some = None,
    scale: float | None = None,
    seed: int = 0,
) -> tuple[Node, Node]:
    y = _attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, seed=seed)
    return y, _log_sums(query, key, attn_mask, is_causal, scale)


def _flash(
    query: Node,
    key: Node,
    value: Node,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
    seed: int = 0,
) -> tuple[Any, ...]:
    y = _attention(query, key, value, None, dropout_p, is_causal, scale=scale, seed=seed)
    return y, _log_sums(query, key, None, is_causal, scale), *(None for _ in range(7))


def _efficient(
    query: Node,
    key: Node,
    value: Node,
    attn_bias: Some,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    seed: int = 0,
) -> tuple[Any, ...]:
    y = _attention(query, key, value, attn_bias, dropout_p, is_causal, scale=scale, seed=seed)
    return y, _log_sums(query, key, attn_bias, is_causal, scale), None, None


def _math(
    query: Node,
    key: Node,
    value: Node,
    attn_mask: Some = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    dropout_mask: Some = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    seed: int = 0,
) -> tuple[Node, Node]:
    if enable_gqa:
        key, value = repeated_heads(key, query), repeated_heads(value, query)
    p = 0.0 if dropout_mask is not None else dropout_p
    weights = attention_weights(query, key, attn_mask, is_causal, scale, p, seed)
    if dropout_mask is not None:
        weights = weights * dropout_mask / (1 - dropout_p)
    return matmul(weights, value), weights


def _embedding(
    weight: Node,
    indices: Node,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Node:
    return embedding(weight, indices, padding_idx, scale_grad_by_freq)


def embedding_backward(
    grad_output: Node, indices: Node, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Node:
    """Return the cotangent of a table from those of its rows."""
    attrs = {
        'num_weights': num_weights,
        'padding_idx': padding_idx,
        'scale_grad_by_freq': scale_grad_by_freq,
    }
    return Node([grad_output, indices], unembedding, attrs)


def _embedding_bag(
    weight: Node,
    indices: Node,
    offsets: Node,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Some = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[Any, ...]:
    y = embedding_bag(
        weight,
        indices,
        offsets,
        mode,
        per_sample_weights,
        scale_grad_by_freq,
        include_last_offset,
        padding_idx,
    )
    attrs = {'include_last_offset': include_last_offset, 'padding_idx': padding_idx, 'kind': 'bag'}
    return y, Node([weight, indices, offsets], bag_index, attrs), None, None


def _embedding_bag_padded(
    weight: Node,
    indices: Node,
    offsets: Node,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Some,
    include_last_offset: bool,
    padding_idx: int | None,
) -> tuple[Any, ...]:
    if padding_idx is None:
        padding_idx = -1
    elif padding_idx < 0:
        # Here it counts from the end; in the kernel -1 is none.
        rows = None if weight.type is None or weight.type.shape is None else weight.type.shape[0]
        if not isinstance(rows, int):
            raise NotImplementedError('a padding_idx from the end needs the number of rows')
        padding_idx += rows
    return _embedding_bag(
        weight,
        indices,
        offsets,
        scale_grad_by_freq,
        mode,
        sparse,
        per_sample_weights,
        include_last_offset,
        padding_idx,
    )


BUILDERS: Builders = {
    'aten.scaled_dot_product_attention': _attention,
    'aten._scaled_dot_product_flash_attention_for_cpu': _flash_for_cpu,
    'aten._scaled_dot_product_flash_attention.default': _flash,
    'aten._scaled_dot_product_efficient_attention': _efficient,
    'aten._scaled_dot_product_attention_math': _math,
    'aten.embedding': _embedding,
    'aten.embedding_dense_backward': embedding_backward,
    'aten._embedding_bag': _embedding_bag,
    'aten._embedding_bag_forward_only': _embedding_bag,
    'aten.embedding_bag.default': _embedding_bag,
    'aten.embedding_bag.padding_idx': _embedding_bag_padded,
}
