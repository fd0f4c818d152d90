"""Cases of attention and of its parts."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint.ops import attention as ops
from adjoint.ops.several import items
from adjoint.verify.samples import sample
from tests.ops.case import Case, sized, spread, t

Q, K, V = spread(2, 3, 2), spread(2, 4, 2, seed=1), spread(2, 4, 3, seed=2)
MANY, FEW, LAST = spread(1, 4, 2, 2), spread(1, 2, 3, 2, seed=1), spread(1, 2, 3, 2, seed=2)
SEEN = torch.tensor([[True, False, True, True], [True, True, False, False], [False, True, True, False]])
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


DERIVED = [
    sample(Q, K, V, spread(2, 3, 3, seed=6)),
    sample(Q, K, V, spread(2, 3, 3, seed=6), is_causal=True, scale=0.7),
    sample(Q[0], K, V[:1], spread(2, 3, 3, seed=6)),
    sample(Q, K, V, t([[[2.0]]]).expand(2, 3, 3)),
]


def _cotangents(
    operands: Sequence[ad.Node], is_causal: bool = False, scale: float | None = None
) -> Sequence[ad.Node]:
    return items(ad.Node(operands, ops.attention_derivative, {'is_causal': is_causal, 'scale': scale}))


def _derivative(*operands: ad.Node, **attrs: Any) -> ad.Node:
    query, key, value = _cotangents(operands, **attrs)
    return query + ad.sum(key) - 2 * ad.sum(value)


def _derivative_by_torch(
    *operands: torch.Tensor, is_causal: bool = False, scale: float | None = None
) -> torch.Tensor:
    batch = torch.broadcast_shapes(*(x.shape[:-2] for x in operands[:3]))
    *given, ct = (x.detach().expand(*batch, *x.shape[-2:]) for x in operands)
    with torch.enable_grad():
        leaves = [x.clone().requires_grad_() for x in given]
        y = F.scaled_dot_product_attention(*leaves, is_causal=is_causal, scale=scale)
        query, key, value = torch.autograd.grad(y, leaves, ct)
    return query + key.sum() - 2 * value.sum()


def _bias(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype, copy=True)
    return torch.where(mask, 0.0, -math.inf).to(like.dtype)


def _causal(scores: torch.Tensor) -> torch.Tensor:
    return torch.full(scores.shape[-2:], -math.inf, dtype=scores.dtype).triu(1)


def _gathered(a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return a.unflatten(-3, (like.shape[-3], -1)).sum(-3)


CASES: dict[str, Case] = {
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
    'attention_derivative': Case(_derivative, DERIVED, _derivative_by_torch),
    'attention_derivative/query': Case(lambda *x, **attrs: _cotangents(x, **attrs)[0], DERIVED),
    'attention_derivative/key': Case(lambda *x, **attrs: _cotangents(x, **attrs)[1], DERIVED),
    'attention_derivative/value': Case(lambda *x, **attrs: _cotangents(x, **attrs)[2], DERIVED),
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
