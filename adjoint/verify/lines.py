"""Lines through a point, and the derivative along them: what moves, by which step, with what error."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch

from adjoint.core.errors import NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.verify.differences import (
    COMPLEX_STEP,
    Method,
    Quotient,
    check_method,
    default_step,
    difference,
    estimate,
)
from adjoint.verify.point import Move, Point, widened

__all__ = [
    'Line',
    'derivative',
    'direction_at',
    'entries',
    'estimated_derivative',
    'line_along',
    'ready_point',
    'scalar_point',
]

# How far the complex step may be from the central difference: in its estimated errors, and relatively.
_ERRORS, _RELATIVE = 10, 1e-4

# The largest relative error of a difference that is still a witness.
_DECISIVE = 1e-2

# By which the steps shrink while they lead out of the function's domain.
_SHRINKS = (2.0**-8, 2.0**-16, 2.0**-24)


@dataclass(frozen=True, slots=True)
class Line:
    """A way to leave the point.

    Parameters
    ----------
    move : callable
        Moves a copy of the tensors by a step.
    magnitude : float
        The largest absolute value among the entries that move.
    length : float
        How far a step of 1 leads.
    """

    move: Move
    magnitude: float
    length: float = 1.0

    def scales(self) -> list[float]:
        """The scales on which the function may vary: 1, and that of the entries where it is smaller."""
        scales = [max(self.magnitude, 1.0) / self.length]
        if 0 < self.magnitude < 1:
            scales.append(self.magnitude / self.length)
        return scales


def ready_point(f: Any, point: Any, method: Method, step: float | None) -> Point:
    """The function at the point, with everything that is asked of it checked."""
    check_method(method)
    if step is not None and not (math.isfinite(step) and step):
        msg = f'a step is a finite number other than 0; got {step!r}'
        raise ValueError(msg)
    at = Point(f, point)
    if method == 'complex':
        _check_analytic(at, step)
    return at


def scalar_point(f: Any, point: Any, method: Method, step: float | None) -> Point:
    """The same, of a function whose value is one real number."""
    at = ready_point(f, point, method, step)
    if at.value.numel() != 1:
        msg = (
            f'the gradient is that of one number, and the value has shape {tuple(at.value.shape)}: '
            f'sum it, or use jacobian or directional'
        )
        raise ShapeError(msg)
    if at.value.is_complex():
        msg = (
            f'the gradient is that of a real number, and the value is {at.value.dtype}: take its '
            f'real part or abs, or use directional'
        )
        raise TensorTypeError(msg)
    return at


def entries(at: Point, position: int) -> Iterator[list[Line]]:
    """For each entry of a leaf the line along it; of a complex entry also that along its imaginary part."""
    leaf = at.leaves[position]
    units = (1, 1j) if leaf.is_complex() else (1,)
    held = cast('list[complex]', leaf.view(-1).tolist())
    for index, entry in enumerate(held):
        yield [Line(_entry_move(position, index, unit), abs(entry)) for unit in units]


def line_along(at: Point, tangents: Sequence[torch.Tensor | None]) -> Line:
    """The line along one tangent for each leaf; ``None`` for a leaf that stays."""
    moving = {
        i: t.detach().to(at.leaves[i].device)
        for i, t in enumerate(tangents)
        if t is not None and i in at.differentiable
    }

    def move(leaves: list[torch.Tensor], step: complex) -> None:
        for i, t in moving.items():
            leaves[i] += (t * step).to(leaves[i].dtype)

    held = [at.leaves[i].abs().max().item() for i, t in moving.items() if t.numel()]
    return Line(move, max(held, default=0.0), _norm(list(moving.values())) or 1.0)


def direction_at(at: Point, generator: torch.Generator | None) -> list[torch.Tensor | None]:
    """A random tangent for each leaf that has one, of norm 1 together."""
    device = torch.device('cpu') if generator is None else generator.device
    drawn: list[torch.Tensor | None] = [None] * len(at.leaves)
    for i in at.differentiable:
        leaf = at.leaves[i]
        wide = torch.complex128 if leaf.is_complex() else torch.float64
        normal = torch.randn(leaf.shape, generator=generator, dtype=wide, device=device)
        drawn[i] = normal.to(leaf.device)
    length = _norm([t for t in drawn if t is not None]) or 1.0
    return [
        None if t is None else (t / length).to(leaf.dtype) for t, leaf in zip(drawn, at.leaves, strict=True)
    ]


def derivative(at: Point, lines: Sequence[Line], method: Method, step: float | None) -> torch.Tensor:
    """The derivative along each of the lines, one after the other, in float64 or complex128."""
    if method == 'complex':
        return at.complex_quotient(lines[0].move, _complex_step(lines[0], step))
    if step is None:
        steps = _steps(at, lines, method, [line.scales()[0] for line in lines])
    else:
        steps = (step,) * len(lines)
    return difference(at.along(*(line.move for line in lines)), steps, method).value


def estimated_derivative(
    at: Point, lines: Sequence[Line], method: Method, step: float | None
) -> tuple[torch.Tensor, torch.Tensor, tuple[float, ...]]:
    """The same with its estimated error and the steps, of the scale where the error is smallest."""
    if method == 'complex':
        h = _complex_step(lines[0], step)
        value = at.complex_quotient(lines[0].move, h)
        # The truncation, of the order of 1e-40, is nothing: what is left is the rounding of f itself.
        size = widened(at.value).abs() / lines[0].scales()[0]
        return value, at.eps * (value.abs() + size), (h,)
    if step is not None:
        return _measured(at, lines, method, (step,) * len(lines)).result
    coarse = [line.scales()[0] for line in lines]
    fine = [line.scales()[-1] for line in lines]
    found = [_measured(at, lines, method, _steps(at, lines, method, coarse))]
    if fine != coarse:
        found.append(_measured(at, lines, method, _steps(at, lines, method, fine)))
    # The function may be defined only close to the point.
    for shrink in _SHRINKS:
        if any(math.isfinite(each.worst) for each in found):
            break
        closer = [scale * shrink for scale in fine]
        found.append(_measured(at, lines, method, _steps(at, lines, method, closer)))
    return min(found, key=lambda each: each.worst).result


class _Measured(NamedTuple):
    """A derivative with its error and steps, and the largest error, infinite where it is nan."""

    result: tuple[torch.Tensor, torch.Tensor, tuple[float, ...]]
    worst: float


def _measured(at: Point, lines: Sequence[Line], method: Method, steps: tuple[float, ...]) -> _Measured:
    quotient = estimate(at.along(*(line.move for line in lines)), steps, method)
    error = _error(at, lines, steps, quotient)
    worst = error.max().item() if error.numel() else 0.0
    return _Measured((quotient.value, error, steps), math.inf if math.isnan(worst) else worst)


def _check_analytic(at: Point, step: float | None) -> None:
    """Compare the complex step with a central difference along one direction.

    Raises
    ------
    NonDifferentiableError
        A parameter is complex, the function does not take complex values, or the two disagree: it
        is not analytic.
    """
    if any(leaf.is_complex() for leaf in at.leaves):
        msg = (
            'the complex step differentiates by real parameters, and one is complex: choose '
            "method='central', 'five-point' or 'richardson'"
        )
        raise NonDifferentiableError(msg)
    if not any(at.leaves[i].numel() for i in at.differentiable):
        return
    # Any fixed direction does; this one is without symmetry.
    line = line_along(at, direction_at(at, torch.Generator().manual_seed(0)))
    found = at.complex_quotient(line.move, _complex_step(line, step))
    (h,) = _steps(at, [line], 'central', line.scales()[:1])
    gap = 0.0
    # A function that varies on a smaller scale than the step agrees with a smaller one.
    for shrink in (1.0, *_SHRINKS[:2]):
        witness, error, _ = estimated_derivative(at, [line], 'central', h * shrink)
        size = torch.maximum(found.abs(), witness.abs())
        # The smaller steps say something only as long as rounding does not drown it.
        says_something = shrink == 1 or bool((error <= _DECISIVE * size).all())
        allowed = _ERRORS * error + _RELATIVE * size
        if says_something and bool(((found - witness).abs() <= allowed).all()):
            return
        gap = (found - witness).abs().max().item()
    rounding = at.complex_quotient(line.move, 0.0).abs().max().item()
    if rounding:
        msg = (
            f'the complex step says nothing of this function: at the point itself its imaginary part is '
            f'{rounding:.3g}, not 0, because torch rounds it as a whole (a power of a negative number is '
            f"taken by its angle); choose method='central', 'five-point' or 'richardson'"
        )
        raise NonDifferentiableError(msg)
    msg = (
        f'the complex step and central differences along a direction differ by {gap:.3g}: the '
        f'function is not analytic (abs, conj, real or a comparison inside it?), or has a kink '
        f"here; choose method='central', 'five-point' or 'richardson'"
    )
    raise NonDifferentiableError(msg)


def _entry_move(position: int, index: int, unit: complex) -> Move:
    def move(leaves: list[torch.Tensor], step: complex) -> None:
        leaves[position].view(-1)[index] += step * unit

    return move


def _norm(tensors: Sequence[torch.Tensor]) -> float:
    return math.sqrt(sum(t.abs().to(torch.float64).square().sum().item() for t in tensors))


def _steps(at: Point, lines: Sequence[Line], method: Method, scales: Sequence[float]) -> tuple[float, ...]:
    unit = default_step(method, at.eps, len(lines))
    return tuple(2.0 ** round(math.log2(unit * scale)) for scale in scales)


def _complex_step(line: Line, step: float | None) -> float:
    return COMPLEX_STEP * line.scales()[0] if step is None else step


def _error(at: Point, lines: Sequence[Line], steps: Sequence[float], quotient: Quotient) -> torch.Tensor:
    """Truncation, rounding of the function's values, and rounding of the places they are taken at."""
    truncation = torch.zeros(()) if quotient.error is None else quotient.error
    misplaced = sum(line.magnitude / (line.length * abs(h)) for line, h in zip(lines, steps, strict=True))
    return truncation + at.eps * (quotient.magnitude + misplaced * quotient.value.abs())
