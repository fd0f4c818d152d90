"""Cases of attention and of its parts."""

import math
from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.ops import attention as ops
from adjoint.ops.several import item, items
from adjoint.verify.samples import sample
from tests.ops.case import Case, sized, spread, t

Q, K, V = spread(2, 3, 2), spread(2, 4, 2, seed=1), spread(2, 4, 3, seed=2)
MANY, FEW, LAST = spread(1, 4, 2, 2), spread(1, 2, 3, 2, seed=1), spread(1, 2, 3, 2, seed=2)
SEEN = torch.tensor([[True, False, True, True], [True, True, False, False], [False, True, True, False]])
FOUR = spread(2, 2, 3, 2), spread(2, 2, 4, 2, seed=1), spread(2, 2, 4, 2, seed=2)
CT = spread(2, 2, 3, 2, seed=4)
HEADS = spread(2, 4, 2, 3, seed=3)


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
    )


def _bias(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype, copy=True)
    return torch.where(mask, 0.0, -math.inf).to(like.dtype)


def _causal(scores: torch.Tensor) -> torch.Tensor:
    return torch.full(scores.shape[-2:], -math.inf, dtype=scores.dtype).triu(1)


def _gathered(a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return a.unflatten(-3, (like.shape[-3], -1)).sum(-3)


def _pulled_back(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ct: torch.Tensor,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[torch.Tensor, ...]:
    """The cotangents as matrices that are written out: of the products, and of the softmax between them."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.mT * scale
    scores = scores if mask is None else scores + _bias(mask, scores)
    weights = torch.softmax(scores + _causal(scores) if is_causal else scores, -1)
    by_weights = ct @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return by_scores @ key, by_scores.mT @ query, weights.mT @ ct


def _nodes(operands: tuple[Any, ...]) -> list[Node]:
    return [as_node(x, 'attention') for x in operands]


def _pullback(which: int, *, is_given: bool = False) -> Case:
    """One of the cotangents, as the kernel gives it and as made of other ops, with and without a mask."""

    def build(*operands: Any, is_causal: bool = False, scale: float | None = None) -> ad.Node:
        query, key, value, ct, *mask = _nodes(operands)
        attrs = {'is_causal': is_causal, 'scale': scale}
        given = items(Node([query, key, value, *mask], ops.attention_with_logsumexp, attrs))
        inputs = [query, key, value, ct, *mask, *(given if is_given else ())]
        return item(Node(inputs, ops.attention_pullback, attrs), which)

    samples = [
        sample(*FOUR, CT),
        sample(*FOUR, CT, is_causal=True, scale=0.7),
        sample(*FOUR, CT, spread(3, 4, seed=5)),
        sample(*FOUR, CT, SEEN, scale=0.3),
        sample(Q, K, V, spread(2, 3, 3, seed=6)),
        sample(FOUR[0].mT.contiguous().mT, *FOUR[1:], CT),
    ]
    return Case(build, samples, lambda *args, **attrs: _pulled_back(*args, **attrs)[which])


def _with_logsumexp(*operands: Any, is_causal: bool = False, scale: float | None = None) -> ad.Node:
    attrs = {'is_causal': is_causal, 'scale': scale}
    return item(Node(_nodes(operands), ops.attention_with_logsumexp, attrs), 0)


def _logsumexp(*operands: Any, is_causal: bool = False, scale: float | None = None) -> ad.Node:
    attrs = {'is_causal': is_causal, 'scale': scale}
    return item(Node(_nodes(operands), ops.attention_with_logsumexp, attrs), 1)


def _of_scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> torch.Tensor:
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    scores = scores if mask is None else scores + _bias(mask, scores)
    return torch.logsumexp(scores + _causal(scores) if is_causal else scores, -1) + 0 * value.sum()


WITH_LOGSUMEXP = [
    sample(*FOUR),
    sample(*FOUR, is_causal=True, scale=0.7),
    sample(*FOUR, SEEN),
    sample(Q, K, V, spread(3, 4, seed=5)),
]

CASES: dict[str, Case] = {
    'attention_pullback': _pullback(0),
    'attention_pullback/keys': _pullback(1),
    'attention_pullback/values': _pullback(2),
    'attention_pullback/given': _pullback(1, is_given=True),
    'attention_with_logsumexp': Case(_with_logsumexp, WITH_LOGSUMEXP, _attention),
    'attention_with_logsumexp/logsumexp': Case(_logsumexp, WITH_LOGSUMEXP, _of_scores),
    'attention/four axes': Case(
        ops.attention,
        [
            sample(*FOUR),
            sample(*FOUR, is_causal=True, scale=0.7),
            sample(*FOUR, spread(3, 4, seed=5)),
            sample(*FOUR, SEEN),
        ],
        _attention,
        conventions=[
            # A query that sees nothing.
            (
                sample(*(t([[[[x]]]]) for x in (1.0, 2.0, 3.0)), torch.tensor([[False]]), smooth=False),
                (t([[[[0.0]]]]),) * 3,
            ),
        ],
    ),
    'attention': Case(
        ops.attention,
        [
            sample(Q, K, V),
            sample(Q, K, V, is_causal=True, scale=0.7),
            sample(Q, K, V, spread(3, 4, seed=5)),
            sample(Q, K, V, SEEN, scale=0.3),
            sized(MANY, FEW, LAST, enable_gqa=True),
            sample(Q[0], K[0], V[0]),
            sample(Q.mT, spread(2, 4, 3).flip(-1), V),
        ],
        _attention,
        conventions=[
            # A query that sees nothing.
            (
                sample(t([[1.0]]), t([[2.0]]), t([[3.0]]), torch.tensor([[False]]), smooth=False),
                (t([[0.0]]), t([[0.0]]), t([[0.0]])),
            ),
        ],
    ),
    'over_root_width': Case(
        ops.over_root_width,
        [sample(Q), sample(Q.mT), sample(spread(2, 0))],
        lambda a: a / math.sqrt(max(a.shape[-1], 1)),
    ),
    'causal_bias': Case(
        ops.causal_bias, [], _causal, conventions=[(sample(t([[1.0, 2.0]])), (t([[0.0, 0]]),))]
    ),
    'mask_bias': Case(ops.mask_bias, [sample(spread(3, 4), Q), sample(spread(3, 4).float(), Q)], _bias),
    'repeated_heads': Case(
        ops.repeated_heads,
        [sized(FEW, MANY), sized(FEW[0], MANY[0]), sized(FEW.transpose(1, 2), spread(1, 6, 1, 1))],
        lambda a, like: a.repeat_interleave(like.shape[-3] // a.shape[-3], -3),
    ),
    'gathered_heads': Case(
        ops.gathered_heads, [sized(HEADS, spread(2, 2, 5, 1)), sized(HEADS[0], FEW[0])], _gathered
    ),
}
