"""Solving a linear system that is given as a body: dense where it is small, without a matrix elsewhere."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from scipy.sparse import linalg

from adjoint.core.errors import ConvergenceError
from adjoint.ops.body import Body

__all__ = ['LinearSolver', 'solve_linear']

# Up to this many real unknowns the matrix is written out: as many runs of the body. All matrices of a batch
# together have at most so many entries.
_DENSE = 512
_ENTRIES = 1 << 26

_gmres = cast('Callable[..., tuple[Any, int]]', linalg.gmres)  # it has no types
_operator = cast('Callable[..., Any]', linalg.LinearOperator)


@dataclass(frozen=True)
class LinearSolver:
    """Finds the unknowns at which a body, linear in them up to a right-hand side, is zero.

    Parameters
    ----------
    batch_axes : int
        How many axes in front of every unknown count examples: each has a system of its own.

    Notes
    -----
    Complex unknowns count as pairs of real ones, since the derivative of a complex function need not be
    linear over the complex numbers. Up to 512 real unknowns by ``torch.linalg.solve``, of all examples at
    once; else by GMRES of SciPy in double precision.
    """

    batch_axes: int = 0

    def __call__(self, body: Body, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the unknowns.

        Parameters
        ----------
        body : Body
            Its first inputs are the unknowns, as many as it has outputs; its last inputs are the right-hand
            sides, of the shapes of the unknowns, which it subtracts.
        values : sequence of torch.Tensor
            Of the other inputs.

        Raises
        ------
        ConvergenceError
            The system is singular, or too near to it.
        """
        rhs = values[len(values) - len(body.outputs) :]
        if not any(bool(b.any()) for b in rhs):
            return [torch.zeros_like(b) for b in rhs]
        # A row for each example.
        rows = math.prod(rhs[0].shape[: self.batch_axes])
        target = _flat(rhs, rows)

        def product(vectors: torch.Tensor) -> torch.Tensor:
            return _flat(body.run([*_unflattened(vectors, rhs), *values]), rows) + target

        unknowns = target.shape[1]
        if unknowns <= _DENSE and rows * unknowns**2 <= _ENTRIES:
            found = _dense(product, target)
        else:
            found = _matrix_free(product, target)
        # An example whose right-hand side is zero has a solution whatever its matrix is.
        sizes = target.abs().amax(1, keepdim=True)
        found = torch.where(sizes > 0, found, 0)
        errors = (product(found) - target).abs().amax(1, keepdim=True) / torch.where(sizes > 0, sizes, 1)
        error, allowed = float(errors.max()), torch.finfo(target.dtype).eps ** 0.5
        if not error <= allowed:
            each = f' for each of {rows} examples' if self.batch_axes else ''
            msg = (
                f'the linear system of an implicit derivative, with {unknowns} unknowns{each}, was not '
                f'solved: its residual is {error:.1e} of its right-hand side, allowed {allowed:.1e}. The '
                f'Jacobian of the residual is singular at the solution, or near to it: there is no derivative'
            )
            raise ConvergenceError(msg)
        return _unflattened(found, rhs)


solve_linear = LinearSolver()

# From vectors, one in each row, to their images.
_Map: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def _dense(product: _Map, target: torch.Tensor) -> torch.Tensor:
    units = torch.eye(target.shape[1], dtype=target.dtype, device=target.device)
    matrices = torch.stack([product(unit.expand_as(target)) for unit in units], 2)
    solved = cast('Any', torch.linalg).solve_ex(matrices, target.unsqueeze(2))
    return solved.result.squeeze(2)


def _matrix_free(product: _Map, target: torch.Tensor) -> torch.Tensor:
    """Solve the systems of all examples as one."""

    def times(vector: Any) -> Any:
        return (
            product(torch.as_tensor(vector).to(target).reshape(target.shape)).double().cpu().numpy().ravel()
        )

    count = target.numel()
    rtol = torch.finfo(target.dtype).eps * 10
    matrix = _operator((count, count), matvec=times, dtype=np.float64)
    # What it says of itself is not asked for: the residual is checked by the caller.
    found, _ = _gmres(matrix, target.double().cpu().numpy().ravel(), rtol=rtol, restart=100, maxiter=20)
    return torch.as_tensor(found).to(target).reshape(target.shape)


def _flat(tensors: Sequence[torch.Tensor], rows: int) -> torch.Tensor:
    """Return tensors as vectors of real numbers, one in each row."""
    real = [torch.view_as_real(x.resolve_conj()) if x.is_complex() else x for x in tensors]
    return torch.cat([x.reshape(rows, x.numel() // rows) for x in real], 1)


def _unflattened(vectors: torch.Tensor, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    sizes = [x.numel() * (2 if x.is_complex() else 1) // len(vectors) for x in like]
    parts = cast('Sequence[torch.Tensor]', vectors.split(sizes, 1))  # it has no types
    return [
        torch.view_as_complex(part.to(x.real.dtype).reshape(*x.shape, 2).contiguous())
        if x.is_complex()
        else part.to(x.dtype).reshape(x.shape)
        for part, x in zip(parts, like, strict=True)
    ]
