"""Solving a linear system that is given as a body: dense where it is small, without a matrix elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from scipy.sparse import linalg

from adjoint.core.errors import ConvergenceError
from adjoint.ops.body import Body

__all__ = ['solve_linear']

# Up to this many real unknowns the matrix is written out: as many runs of the body.
_DENSE = 512

_gmres = cast('Callable[..., tuple[Any, int]]', linalg.gmres)  # it has no types
_operator = cast('Callable[..., Any]', linalg.LinearOperator)


def solve_linear(body: Body, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the unknowns at which a body, linear in them up to a right-hand side, is zero.

    Parameters
    ----------
    body : Body
        Its first inputs are the unknowns, as many as it has outputs; its last inputs are the right-hand
        sides, of the shapes of the unknowns, which it subtracts.
    values : sequence of torch.Tensor
        Of the other inputs.

    Returns
    -------
    list of torch.Tensor
        The unknowns.

    Raises
    ------
    ConvergenceError
        The system is singular, or too near to it.

    Notes
    -----
    Complex unknowns count as pairs of real ones, since the derivative of a complex function need not be
    linear over the complex numbers. Up to 512 real unknowns by ``torch.linalg.solve``, else by GMRES of
    SciPy in double precision.
    """
    rhs = values[len(values) - len(body.outputs) :]
    target = _flat(rhs)
    if not target.numel() or not bool(target.any()):
        return [torch.zeros_like(b) for b in rhs]

    def product(vector: torch.Tensor) -> torch.Tensor:
        return _flat(body.run([*_unflattened(vector, rhs), *values])) + target

    found = _dense(product, target) if target.numel() <= _DENSE else _matrix_free(product, target)
    size = float(target.abs().max())
    error = float((product(found) - target).abs().max()) / size if bool(found.isfinite().all()) else np.inf
    allowed = torch.finfo(target.dtype).eps ** 0.5
    if not error <= allowed:
        msg = (
            f'the linear system of an implicit derivative, with {target.numel()} unknowns, was not solved: '
            f'its residual is {error:.1e} of its right-hand side, allowed {allowed:.1e}. The Jacobian of the '
            f'residual is singular at the solution, or near to it: there is no derivative'
        )
        raise ConvergenceError(msg)
    return _unflattened(found, rhs)


def _dense(product: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    units = torch.eye(target.numel(), dtype=target.dtype, device=target.device)
    matrix = torch.stack([product(unit) for unit in units], 1)
    solved = cast('Any', torch.linalg).solve_ex(matrix, target)
    return solved.result


def _matrix_free(product: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    def times(vector: Any) -> Any:
        return product(torch.as_tensor(vector).to(target)).double().cpu().numpy()

    count = target.numel()
    rtol = torch.finfo(target.dtype).eps * 10
    matrix = _operator((count, count), matvec=times, dtype=np.float64)
    # What it says of itself is not asked for: the residual is checked by the caller.
    found, _ = _gmres(matrix, target.double().cpu().numpy(), rtol=rtol, restart=100, maxiter=20)
    return torch.as_tensor(found).to(target)


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return tensors as one vector of real numbers."""
    real = [torch.view_as_real(x.resolve_conj()) if x.is_complex() else x for x in tensors]
    return torch.cat([x.reshape(-1) for x in real])


def _unflattened(vector: torch.Tensor, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    sizes = [x.numel() * (2 if x.is_complex() else 1) for x in like]
    parts = cast('Sequence[torch.Tensor]', vector.split(sizes))  # it has no types
    return [
        torch.view_as_complex(part.to(x.real.dtype).reshape(*x.shape, 2).contiguous())
        if x.is_complex()
        else part.to(x.dtype).reshape(x.shape)
        for part, x in zip(parts, like, strict=True)
    ]
