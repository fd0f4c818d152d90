"""Cases of the normalisation over channels and of its parts."""

import torch
import torch.nn.functional as F

from adjoint import Node
from adjoint.ops import channels
from adjoint.verify.samples import sample
from tests.ops.case import Case, sized, spread, spread_complex

FLAT, IMAGE, LINE = spread(4, 3), spread(2, 3, 2, 2, seed=1), spread(2, 4, 3, seed=2)
STRIDED = spread(3, 2, 4, seed=3).permute(1, 0, 2)
VECTOR, OTHER = spread(3, seed=4), spread(3, seed=5)


def _along(a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return a.reshape(1, -1, *(1 for _ in range(like.ndim - 2))).expand(like.shape)


def _mean(a: torch.Tensor, correction: int = 0) -> torch.Tensor:
    rows = a.transpose(0, 1).flatten(1)
    return rows.sum(1) / (rows.shape[1] - correction)


def _share(a: torch.Tensor, like: torch.Tensor, correction: int = 0) -> torch.Tensor:
    return _along(a, like) / (like.numel() // like.shape[1] - correction)


def _share_node(a: Node, like: Node, correction: int = 0) -> Node:
    return Node([a, like], channels.channel_share, {'correction': correction})


def _rmsnorm(a: torch.Tensor, normalized_shape: int | tuple[int, ...], eps: float = 1e-6) -> torch.Tensor:
    axes = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    return a * torch.rsqrt(a.square().mean(tuple(range(-axes, 0)), keepdim=True) + eps)


CASES = {
    'along_channels': Case(
        channels.along_channels,
        [sample(VECTOR, FLAT), sample(VECTOR, IMAGE), sample(VECTOR, STRIDED), sample(VECTOR, spread(0, 3))],
        _along,
    ),
    'over_channels': Case(
        channels.over_channels,
        [sample(FLAT), sample(IMAGE), sample(STRIDED), sample(spread(0, 3)), sample(spread_complex(2, 3))],
        lambda a: a.transpose(0, 1).flatten(1).sum(1),
    ),
    'channel_mean': Case(channels.channel_mean, [sample(FLAT), sample(IMAGE, 1), sample(STRIDED)], _mean),
    'channel_share': Case(_share_node, [sample(VECTOR, FLAT), sample(VECTOR, IMAGE, 1)], _share),
    'channel_mean/var': Case(
        channels.channel_var,
        [sample(FLAT), sample(IMAGE, 1)],
        lambda a, correction=0: a.transpose(0, 1).flatten(1).var(1, correction=correction),
    ),
    'batchnorm': Case(
        channels.batchnorm,
        [sample(FLAT), sample(IMAGE, 0.1), sample(STRIDED)],
        lambda a, eps=1e-5: F.batch_norm(a, None, None, training=True, eps=eps),
    ),
    'group_channels': Case(
        channels.group_channels,
        [sized(LINE, 2), sized(IMAGE, 1), sized(STRIDED, 3), sized(spread(0, 2), 2)],
        lambda a, groups: a.reshape(len(a), groups, a[0].numel() // groups if len(a) else 1),
    ),
    'group_channels/norm': Case(
        channels.groupnorm,
        [
            sized(LINE, 2, spread(4), spread(4, seed=9)),
            sized(IMAGE, 3, OTHER),
            sized(STRIDED, 1, None, OTHER),
        ],
        lambda a, groups, w=None, b=None: F.group_norm(a, groups, w, b),
    ),
    'batchnorm/instance': Case(
        channels.instancenorm,
        [sample(LINE, spread(4), spread(4, seed=9)), sample(IMAGE, OTHER, None, 0.1)],
        lambda a, w=None, b=None, eps=1e-5: F.instance_norm(a, weight=w, bias=b, eps=eps),
    ),
    'rmsnorm': Case(
        channels.rmsnorm,
        [sample(FLAT, 3), sample(IMAGE, (2, 2), 0.1), sample(STRIDED, (4,)), sample(spread_complex(2, 3), 3)],
        _rmsnorm,
    ),
}
