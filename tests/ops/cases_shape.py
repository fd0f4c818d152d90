"""Cases of the ops that rearrange entries, and of those that fit one tensor to another."""

from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops.shape import cat_part, reshape_like
from adjoint.ops.tiling import block_diag, block_part, repeat, repeated_index, roll, rot90, unrepeat
from adjoint.verify.samples import sample
from tests.ops.case import Case, Refusal, i, sized, spread, spread_complex, t

X = spread(2, 3)
Y = spread(2, 1, 3, seed=2)
C = spread_complex(2, 3)
WIDE = spread(3, 1, seed=4).expand(3, 2)
FLIPPED = spread(3, 2, seed=5).mT

NO_STRING: Refusal = (sample('x', 0, 1), ad.TensorTypeError, 'takes nodes')
OUT_OF_RANGE = r'(?i)dimension out of range'


def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(shape[0]) if isinstance(shape[0], (list, tuple)) else shape


VIEWS = {
    'reshape': Case(
        ad.reshape,
        [
            sized(X, 3, 2),
            sized(X, (6,)),
            sized(X, [-1]),
            sized(X, 1, -1, 2),
            sized(FLIPPED, 6),
            sized(WIDE, 2, 3),
            sized(t(0.4), 1, 1),
            sized(spread(1), ()),
            sized(spread(0, 3), 3, 0),
            sized(C, 6),
        ],
        lambda x, *shape: torch.reshape(x, _sizes(shape)),
        refusals=[
            (sample(X, 4), ad.ShapeError, r'reshape(.|\n)*float64\[2, 3\]'),
            (sample('x', 3), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'reshape_like': Case(
        reshape_like,
        [
            sized(X, spread(3, 2)),
            sized(FLIPPED, spread(6)),
            sized(t(0.4), spread(1, 1)),
            sized(X, X + 1),
            sized(C, C.mT),
        ],
        lambda x, like: x.reshape(like.shape),
        refusals=[(sample(X, spread(4)), ad.ShapeError, 'reshape_like')],
    ),
    'flatten': Case(
        ad.flatten,
        [
            sample(X),
            sample(Y, 1),
            sample(Y, 0, 1),
            sample(Y, start_dim=-2, end_dim=-1),
            sample(t(0.4)),
            sample(FLIPPED),
            sample(C),
        ],
        torch.flatten,
        refusals=[(sample(X, 2), ad.ShapeError, OUT_OF_RANGE)],
    ),
    'squeeze': Case(
        ad.squeeze,
        [
            sample(Y),
            sample(Y, 1),
            sample(Y, -2),
            sample(Y, 0),
            sample(spread(1, 2, 1), (0, 2)),
            sample(spread(1, 1)),
            sample(Y, [0, 1]),
            sample(spread_complex(1, 2), 0),
        ],
        lambda x, dim=None: (
            x.squeeze() if dim is None else x.squeeze(tuple(dim) if isinstance(dim, list) else dim)
        ),
        refusals=[(sample(X, 2), ad.ShapeError, OUT_OF_RANGE)],
    ),
    'unsqueeze': Case(
        ad.unsqueeze,
        [sample(X, 0), sample(X, -1), sample(FLIPPED, dim=1), sample(t(0.4), 0), sample(C, 1)],
        torch.unsqueeze,
        refusals=[(sample(X, 4), ad.ShapeError, OUT_OF_RANGE)],
    ),
    'transpose': Case(
        ad.transpose,
        [
            sample(X, 0, 1),
            sample(Y, -1, 0),
            sample(Y, 1, 1),
            sample(Y, dim0=1, dim1=2),
            sample(FLIPPED, 1, 0),
            sample(WIDE, 0, -1),
            sample(C, 0, 1),
            sample(spread(0, 3), 0, 1),
        ],
        torch.transpose,
        refusals=[NO_STRING, (sample(X, 0, 2), ad.ShapeError, OUT_OF_RANGE)],
    ),
    'permute': Case(
        ad.permute,
        [
            sample(Y, 2, 0, 1),
            sample(Y, (1, 2, 0)),
            sample(Y, [-1, 0, -2]),
            sample(FLIPPED, 1, 0),
            sample(spread_complex(2, 1, 3), 2, 0, 1),
        ],
        lambda x, *dims: torch.permute(x, _sizes(dims)),
        refusals=[(sample(Y, 0, 1), ad.ShapeError, 'permute')],
    ),
    'flip': Case(
        ad.flip,
        [sample(X, 0), sample(X, (0, 1)), sample(FLIPPED, -1), sample(WIDE, [0]), sample(C, 0, 1)],
        lambda x, *dims: torch.flip(x, _sizes(dims)),
        refusals=[(sample(X, 2), ad.ShapeError, OUT_OF_RANGE)],
    ),
    'tril': Case(
        ad.tril,
        [sample(spread(3, 3)), sample(spread(2, 2, 3), 1), sample(FLIPPED, diagonal=-1), sample(C)],
        torch.tril,
        refusals=[(sample(spread(3)), ad.ShapeError, 'tril')],
    ),
    'triu': Case(
        ad.triu,
        [sample(spread(3, 3)), sample(spread(2, 2, 3), 1), sample(FLIPPED, diagonal=-1), sample(C)],
        torch.triu,
        refusals=[(sample(spread(3)), ad.ShapeError, 'triu')],
    ),
}

_NOT_A_LIST = 'takes a non-empty list or tuple of operands'


def _part(position: int, dim: int = 0) -> Case:
    """The part of a value that lies where an operand of a concatenation lies."""

    def build(a: Node, *parts: Node) -> Node:
        return cat_part(a, ad.cat(parts, dim), position)

    def reference(a: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
        return torch.split(a, [p.shape[dim] for p in parts], dim)[position].to(parts[position].dtype)

    parts = (spread(1, 2), spread(2, 2, seed=1)) if dim == 0 else (spread(3, 1), spread(3, 1, seed=1))
    return Case(build, [sized(spread(3, 2, seed=7), *parts)], reference)


CAT = {
    'cat': Case(
        ad.cat,
        [
            sized([X, X[:1] + 1]),
            sized((X, FLIPPED), 1),
            sized([X], -1),
            sized([X, X[:, :1]], dim=1),
            sized([X, spread(0, 3)]),
            sized([C, C + 1], 1),
            sized([X, C]),
            sized([X, X[:1].float()]),
        ],
        torch.cat,
        refusals=[
            (sample([]), ad.ShapeError, _NOT_A_LIST),
            (sample(X), ad.ShapeError, _NOT_A_LIST),
            (sample([X, 'x']), ad.TensorTypeError, 'takes nodes'),
            (sample([X, spread(2, 2)]), ad.ShapeError, r'cat(.|\n)*float64\[2, 2\]'),
        ],
    ),
    'cat/repeated': Case(
        lambda a: ad.cat([a, a, a * a], 1), [sized(X)], lambda a: torch.cat([a, a, a * a], 1)
    ),
    'cat/stack': Case(
        ad.stack,
        [
            sample([X, FLIPPED]),
            sample((X, FLIPPED), 1),
            sample([X, FLIPPED], dim=-1),
            sample([t(0.3), t(0.7)]),
        ],
        torch.stack,
        refusals=[(sample([]), ad.ShapeError, _NOT_A_LIST)],
    ),
    'cat_part': _part(0),
    'cat_part/last': _part(1),
    'cat_part/columns': _part(1, dim=-1),
}

FITTED = {
    'expand_as': Case(
        ad.expand_as,
        [
            sample(spread(3), X),
            sample(spread(2, 1), X),
            sample(t(0.4), X),
            sample(spread(1, 1), Y),
            sample(X, Y[:, [0, 0]]),
            sample(FLIPPED, X),
            sample(C[0], C),
            sample(spread(1), spread(0)),
        ],
        lambda a, b: a.expand(b.shape),
        conventions=[(sample(t([1.0, 2.0]), spread(3, 2)), (t([3.0, 3.0]), torch.zeros(3, 2)))],
        refusals=[
            (sample(spread(2), X), ad.ShapeError, 'expand_as'),
            (sample('x', X), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'expand_as_3d': Case(
        ad.expand_as_3d,
        [
            sample(X, spread(2, 4, 3)),
            sample(spread(2, 1), spread(2, 2, 3)),
            sample(spread(1, 3), spread(2, 1, 3)),
            sample(spread(3, 3), spread(3, 3, 3)),
            sample(FLIPPED, spread(2, 1, 3)),
            sample(spread(2), spread(2, 2)),
            sample(spread(2), spread(2, 1)),
        ],
        lambda a, b: a.unsqueeze(1).expand(b.shape),
        refusals=[(sample(X, spread(3, 2, 3)), ad.ShapeError, 'expand_as_3d')],
    ),
    'broadcast_to': Case(
        ad.broadcast_to,
        [
            sized(spread(3), 2, 3),
            sized(spread(2, 1), (2, 3)),
            sized(t(0.4), [2]),
            sized(spread(2, 1), -1, 3),
            sized(FLIPPED, 2, 2, 3),
            sized(C[:1], 2, 3),
        ],
        lambda x, *shape: x.expand(_sizes(shape)),
        refusals=[(sample(X, 2, 4), ad.ShapeError, 'broadcast_to')],
    ),
    'broadcast': Case(
        ad.broadcast,
        [
            sized(spread(3, 2), [3, 2], [2, 3, 2]),
            sized(spread(1, 5), [1, 5], [3, 5]),
            sized(spread(2, 1), (2, 1), (3, 2, 2)),
            sized(t(0.4), (), (2, 2)),
            sized(FLIPPED, (2, 3), (2, 3)),
            sized(C[:1], (1, 3), (2, 3)),
        ],
        lambda x, before, after: torch.broadcast_to(x, tuple(after)),
        refusals=[
            (sample(X, (3, 2), (2, 3, 2)), ad.ShapeError, r'operand of shape \(3, 2\) and got \(2, 3\)'),
            (sample(X, (2, 3), (3, 2)), ad.ShapeError, 'broadcast'),
        ],
    ),
    'sum_to_like': Case(
        ad.sum_to_like,
        [
            sample(X, spread(3)),
            sample(X, spread(2, 1)),
            sample(X, t(0.4)),
            sample(X, X + 1),
            sample(spread(2, 2, 3), spread(2, 1)),
            sample(X, spread(3).float()),
            sample(C, C[0]),
            sample(C, X[0]),
            sample(FLIPPED, spread(1, 3)),
        ],
        lambda a, like: (
            (a if like.is_complex() or not a.is_complex() else a.real).sum_to_size(like.shape).to(like.dtype)
        ),
        refusals=[(sample(X, spread(4)), ad.ShapeError, 'sum_to_like')],
    ),
    'expand_like': Case(
        ad.expand_like,
        [
            sample(spread(3), X),
            sample(spread(2, 1), X),
            sample(t(0.4), X),
            sample(X, X + 1),
            sample(spread(3).float(), X),
            sample(X[0], C),
            sample(C[0], C),
            sample(C[0], X),
            sample(spread(3), X.float()),
        ],
        lambda a, like: (
            (a if like.is_complex() or not a.is_complex() else a.real).expand(like.shape).to(like.dtype)
        ),
        refusals=[(sample(spread(4), X), ad.ShapeError, 'expand_like')],
    ),
}


def _unrepeat(a: Node, like: Node, repeats: tuple[int, ...]) -> Node:
    return Node([a, like], unrepeat, {'repeats': repeats})


def _unrepeated(a: torch.Tensor, like: torch.Tensor, repeats: tuple[int, ...]) -> torch.Tensor:
    x = torch.zeros(like.shape, dtype=a.dtype, requires_grad=True)
    return torch.autograd.grad(x.repeat(repeats), x, a)[0]


def _block_part(a: Node, parts: list[Node], position: int) -> Node:
    return Node([a, *parts], block_part, {'position': position})


TILES = {
    'repeat': Case(
        repeat,
        [
            sized(X, 2, 1),
            sized(X, (2, 1, 3)),
            sized(FLIPPED, [1, 2]),
            sized(t(0.4), 2),
            sized(t(0.4), ()),
            sized(X, 0, 2),
            sized(C, 1, 2),
        ],
        lambda x, *repeats: x.repeat(_sizes(repeats)),
        refusals=[(sample(X, 2), ad.ShapeError, 'repeat')],
    ),
    'unrepeat': Case(
        _unrepeat,
        [
            sized(spread(4, 3), X, (2, 1)),
            sized(spread(2, 2, 9), X, (2, 1, 3)),
            sized(spread(2), t(0.4), (2,)),
        ],
        _unrepeated,
    ),
    'repeated_index': Case(
        repeated_index,
        [sized(i([2, 0, 1])), sized(i([1, 2]), output_size=3)],
        torch.repeat_interleave,
    ),
    'roll': Case(
        roll,
        [
            sample(X, 1, 0),
            sample(X, (1, -2), (0, 1)),
            sample(X, 2),
            sample(FLIPPED, -1, 1),
            sample(C, 1, 1),
            sample(t(0.4), 1),
        ],
        lambda x, shifts, dims=(): torch.roll(x, shifts, dims),
    ),
    'roll/back': Case(
        lambda x, shifts, dims: roll(x, shifts, dims, back=True),
        [sample(X, 1, 1)],
        lambda x, shifts, dims: torch.roll(x, -shifts, dims),
    ),
    'rot90': Case(
        rot90,
        [sample(X), sample(X, 2), sample(Y, -1, (0, 2)), sample(FLIPPED, 3, [1, 0]), sample(C, 1, (0, 1))],
        torch.rot90,
    ),
    'block_diag': Case(
        block_diag,
        [
            sized([X, spread(1, 2, seed=3)]),
            sized([FLIPPED, t(0.4), spread(2, seed=3)]),
            sized([C, X + 0.01]),
            sized([X]),
        ],
        lambda parts: torch.block_diag(*parts),
    ),
    'block_part': Case(
        _block_part,
        [
            sized(spread(3, 5), [X, spread(1, 2)], 1),
            sized(spread(4, 6), [X, t(0.4), spread(2)], 2),
            sized(spread_complex(4, 6), [C, X + 0.01], 1),
        ],
        lambda a, parts, position: _block(a, parts, position),
    ),
}


def _block(a: torch.Tensor, parts: list[torch.Tensor], position: int) -> torch.Tensor:
    tops = torch.block_diag(*[torch.ones_like(p).real * (n == position) for n, p in enumerate(parts)]) != 0
    block = a[tops].reshape(parts[position].shape)
    return block if parts[position].is_complex() else block.real


CASES = VIEWS | CAT | FITTED | TILES
