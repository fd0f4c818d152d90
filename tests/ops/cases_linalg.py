"""Cases: linear algebra: solving, inverses, determinants, functions of matrices."""

import torch

from adjoint import Node
from adjoint.ops.determinant import cofactor, det, matrix_exp, slogdet
from adjoint.ops.linalg import (
    as_columns,
    cross,
    from_columns,
    inverse,
    pinv,
    solve_matrix,
    solve_triangular,
)  # fmt: skip
from adjoint.ops.matrix import cut_matrix, eye_like, eye_of_rows, fit_matrix, is_tall, leading_square
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, spread_complex, t

# Well-conditioned: a diagonal that outweighs the rest.
A = spread(3, 3) + 4 * torch.eye(3, dtype=torch.float64)
BATCH = spread(2, 2, 2, seed=3) + 3 * torch.eye(2, dtype=torch.float64)
C = spread_complex(2, 2) + 3 * torch.eye(2, dtype=torch.float64)
D = spread_complex(3, 3) + 4 * torch.eye(3, dtype=torch.float64)
B = spread(3, 2, seed=5)
SINGULAR = t([[1.0, 2.0], [2.0, 4.0]])


def _cofactors(a: torch.Tensor) -> torch.Tensor:
    return torch.linalg.det(a)[..., None, None] * torch.linalg.inv(a).mT


def _columns(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return b.unsqueeze(-1) if b.ndim == a.ndim - 1 else b


def _size_of_determinant(a: Node) -> Node:
    return slogdet(a)[1]


def _phase_of_determinant(a: Node) -> Node:
    return slogdet(a)[0]


def _eye(a: torch.Tensor) -> torch.Tensor:
    return torch.eye(a.shape[-2], a.shape[-1], dtype=a.dtype).expand(a.shape)


def _fitted(a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    rows, columns = like.shape[-2:]
    padded = torch.nn.functional.pad(a, (0, columns, 0, rows))
    return padded[..., :rows, :columns]


def _solved(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.linalg.solve(a, b.expand(*a.shape[:-2], *b.shape[-2:]) if len(a) > 1 else b)


def _upper(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.linalg.solve_triangular(a, b, upper=True)


CASES: dict[str, Case] = {
    'solve_matrix': Case(
        solve_matrix, [sample(A, B), sample(BATCH, spread(2, 2, 1, seed=7)), sample(C, spread_complex(2, 1)),
         sample(BATCH[:1], spread(2, 2, 1, seed=7)), sample(BATCH, spread(1, 2, 3, seed=7))],
        _solved,
    ),
    'inverse': Case(inverse, [sample(A), sample(BATCH), sample(C)], torch.linalg.inv),
    'solve_triangular': Case(
        lambda a, b: solve_triangular(a, b, upper=True), [
            sample(A, B), sample(C, spread_complex(2, 1)), sample(BATCH[:1], spread(2, 2, 1, seed=7)),
            sample(BATCH, spread(1, 2, 3, seed=7)),
        ], _upper,
    ),
    'pinv': Case(
        pinv, [sample(spread(3, 2)), sample(spread(2, 3)), sample(spread_complex(3, 2))], torch.linalg.pinv
    ),
    'cross': Case(
        cross, [sample(spread(2, 3), spread(2, 3, seed=1)), sample(spread(1, 3), spread(2, 3, seed=2)),
         sample(spread_complex(2, 3), spread_complex(2, 3, seed=1))],
        lambda a, b: torch.linalg.cross(*torch.broadcast_tensors(a, b)),
    ),
    'as_columns': Case(
        as_columns, [sample(spread(3), A), sample(spread(3, 1), A)], _columns
    ),
    'from_columns': Case(
        from_columns, [sample(spread(3, 1), spread(3, seed=1), A)], lambda x, b, a: x.squeeze(-1)
    ),
    'det': Case(
        det, [sample(A), sample(BATCH), sample(C), sample(spread(0, 0))], torch.linalg.det,
        conventions=[(sample(SINGULAR), (t([[4.0, -2.0], [-2.0, 1.0]]),)), (sample(t([[0.0]])), (t([[1.0]]),))],  # noqa: E501
    ),
    'cofactor': Case(cofactor, [sample(A), sample(BATCH), sample(D)], _cofactors),
    'slogdet': Case(
        _size_of_determinant, [sample(A), sample(BATCH), sample(C)], lambda a: torch.linalg.slogdet(a)[1]
    ),
    'slogdet/phase': Case(
        _phase_of_determinant, [sample(C), sample(A)], lambda a: torch.linalg.slogdet(a)[0]
    ),
    'matrix_exp': Case(
        matrix_exp, [sample(spread(2, 2)), sample(spread(2, 2, 2)), sample(spread_complex(2, 2))],
        torch.linalg.matrix_exp,
    ),
    'eye_like': Case(eye_like, [sample(spread(2, 3)), sample(spread(2, 2, 2))], _eye),
    'eye_of_rows': Case(
        eye_of_rows, [sample(spread(2, 3))], lambda a: torch.eye(a.shape[-2], dtype=a.dtype)
    ),
    'leading_square': Case(
        leading_square, [sample(spread(2, 3)), sample(spread(3, 2))],
        lambda a: a[..., : min(a.shape[-2:]), : min(a.shape[-2:])],
    ),
    'cut_matrix': Case(
        cut_matrix, [sample(spread(3, 3), spread(2, 4, seed=1))], lambda a, like: a[: like.shape[0], : like.shape[1]]  # noqa: E501
    ),
    'fit_matrix': Case(
        fit_matrix, [sample(spread(3, 2), spread(2, 4, seed=1)), sample(spread(1, 2), spread(2, 2, seed=1))], _fitted  # noqa: E501
    ),
    'is_tall': Case(
        is_tall, [sample(spread(3, 2)), sample(spread(2, 3))], lambda a: torch.tensor(a.shape[-2] > a.shape[-1])  # noqa: E501
    ),
}  # fmt: skip
