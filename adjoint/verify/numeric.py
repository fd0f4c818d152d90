"""Numeric differentiation: the derivative by running the function at neighbouring points.

It needs nothing of the function but its values, which makes it the witness for every rule. The price
is two or more evaluations for each entry, and an error that no step makes vanish.

=============== ============================================ ======== =======================
method          formula, along the unit direction ``e``      order    default step ``h``
=============== ============================================ ======== =======================
``forward``     (f(θ + h e) − f(θ)) / h                      h        s · ε^(1/2)
``central``     (f(θ + h e) − f(θ − h e)) / 2h               h²       s · ε^(1/3)
``five-point``  8 and 1 times the central differences of     h⁴       s · ε^(1/5)
                h and 2h, over 6
``richardson``  central differences of h, h/2, h/4, h/8,     h⁸       s · ε^(1/9)
                extrapolated to h = 0
``complex``     Im f(θ + i h e) / h                          h²       s · 1e-20
=============== ============================================ ======== =======================

Here ε is the machine epsilon of the coarsest dtype involved, and ``s`` is max(1, abs(θ)) of the entry
(of the largest entry, over the norm of the direction, along a direction). The step is rounded to a power
of two, which makes θ + h exact. A step that is given is used as it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from adjoint.core.errors import NonDifferentiableError
from adjoint.core.node import Node
from adjoint.verify.differences import Method, order_of
from adjoint.verify.lines import (
    Line,
    derivative,
    direction_at,
    entries,
    estimated_derivative,
    line_along,
    ready_point,
    scalar_point,
)
from adjoint.verify.point import Point, widened

__all__ = [
    'Estimate',
    'Method',
    'directional',
    'estimate_directional',
    'estimate_gradient',
    'estimate_mixed',
    'gradient',
    'jacobian',
    'random_direction',
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A numeric derivative with what is known of its error.

    Parameters
    ----------
    value
        The derivative, in the structure of the point (a tensor, for one along a direction).
    error
        The estimated absolute error of each entry, truncation and rounding together. An estimate, not
        a bound: it supposes that the function is smooth over a few steps and rounds like one operation.
    step
        The step that was used for each entry; for several directions a tuple.
    order : int
        The truncation error is O(step ** order).
    evaluations : int
        How often the function ran, for all of this.
    direction
        Along which the derivative was taken, in the structure of the point; ``None`` for a gradient.
    """

    value: Any
    error: Any
    step: Any
    order: int
    evaluations: int
    direction: Any = None


def gradient(
    f: Callable[[Any], Any] | Node,
    point: Any,
    *,
    method: Method = 'central',
    step: float | None = None,
) -> Any:
    """The gradient of a scalar function, entry by entry.

    Parameters
    ----------
    f : callable or Node
        From the point to a real tensor of one entry (or a Python number); or the node of a graph.
    point : torch.Tensor, nested tuple, list or dict of them, or dict of Node to torch.Tensor
        Passed as ``f(point)``; for a node the values of the inputs. Of any shape; entries of an
        expanded view count one by one. It is never changed.
    method : {'central', 'forward', 'five-point', 'richardson', 'complex'}
        See the table of the module.
    step : float, optional
        The step ``h``. A negative one looks to the other side.

    Returns
    -------
    tree of torch.Tensor
        In the structure of the point, each of the shape and dtype of its leaf; ``None`` for a leaf that
        is neither floating nor complex.

    Raises
    ------
    ShapeError
        The value has more than one entry.
    NonDifferentiableError
        The complex step met a function that is not analytic, or a complex parameter.

    Notes
    -----
    For a complex parameter z = a + ib it is ∂f/∂a + i ∂f/∂b: torch's convention, ready for descent.

    Examples
    --------
    >>> import torch
    >>> theta = torch.tensor([1.0, 2.0], dtype=torch.float64)
    >>> gradient(lambda t: (t ** 3).sum(), theta, method='complex')
    tensor([ 3., 12.], dtype=torch.float64)
    """
    at = scalar_point(f, point, method, step)
    leaves: list[torch.Tensor | None] = [None] * len(at.leaves)
    for i in at.differentiable:
        values = [_joined([derivative(at, [x], method, step) for x in e]) for e in entries(at, i)]
        leaves[i] = _shaped(values, at.leaves[i], at.leaves[i].dtype)
    return at.rebuilt(leaves)


def estimate_gradient(
    f: Callable[[Any], Any] | Node,
    point: Any,
    *,
    method: Method = 'central',
    step: float | None = None,
) -> Estimate:
    """The gradient of a scalar function with the estimated error of each entry.

    Parameters, and what is raised, are those of :func:`gradient`; it runs the function about twice as
    often. Where no step is given and an entry is smaller than 1, steps of both scales are tried (that
    of 1 and that of the entry) and the one with the smaller error is kept; where a step leads out of
    the function's domain, smaller ones are tried.

    Returns
    -------
    Estimate
        ``value``, ``error`` and ``step`` have the structure of the point; the last two are float64.

    Examples
    --------
    >>> import torch
    >>> found = estimate_gradient(torch.log, torch.tensor(2.0, dtype=torch.float64))
    >>> bool(abs(found.value - 0.5) <= found.error), found.order, found.step.item()
    (True, 2, 1.52587890625e-05)
    """
    at = scalar_point(f, point, method, step)
    empty: list[torch.Tensor | None] = [None] * len(at.leaves)
    values, errors, steps = [*empty], [*empty], [*empty]
    for i in at.differentiable:
        found = [_estimated_entry(at, entry, method, step) for entry in entries(at, i)]
        leaf = at.leaves[i]
        values[i] = _shaped([value for value, _, _ in found], leaf, leaf.dtype)
        errors[i] = _shaped([error for _, error, _ in found], leaf, torch.float64)
        steps[i] = _shaped([used for _, _, used in found], leaf, torch.float64)
    return Estimate(
        at.rebuilt(values), at.rebuilt(errors), at.rebuilt(steps), order_of(method), at.evaluations
    )


def jacobian(
    f: Callable[[Any], Any] | Node,
    point: Any,
    *,
    method: Method = 'central',
    step: float | None = None,
) -> Any:
    """The derivative of every entry of the value by every entry of the point.

    Parameters
    ----------
    f : callable or Node
        From the point to a tensor of any shape, real or complex.
    point, method, step
        As for :func:`gradient`, with real parameters.

    Returns
    -------
    tree of torch.Tensor
        In the structure of the point, each of shape ``(*value.shape, *leaf.shape)``, float64 or complex128.

    Raises
    ------
    NonDifferentiableError
        A parameter is complex: its derivative is no complex matrix in general.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    >>> jacobian(lambda x: torch.stack([x.prod(), x.norm()]), x, method='richardson').round(decimals=9)
    tensor([[4.0000, 3.0000],
            [0.6000, 0.8000]], dtype=torch.float64)
    """
    at = ready_point(f, point, method, step)
    leaves: list[torch.Tensor | None] = [None] * len(at.leaves)
    for i in at.differentiable:
        leaf = at.leaves[i]
        if leaf.is_complex():
            msg = (
                f'the Jacobian is taken by real parameters, and one is {leaf.dtype}: use '
                f'estimate_directional, or make the parameter real with torch.view_as_real'
            )
            raise NonDifferentiableError(msg)
        columns = [derivative(at, entry, method, step) for entry in entries(at, i)]
        shape = (*at.value.shape, *leaf.shape)
        empty = widened(at.value).new_empty(shape)
        leaves[i] = torch.stack(columns, -1).reshape(shape) if columns else empty
    return at.rebuilt(leaves)


def random_direction(point: Any, generator: torch.Generator | None = None) -> Any:
    """A random direction: normal entries, of Euclidean norm 1 over the whole tree.

    Parameters
    ----------
    point : tree of torch.Tensor, or dict of Node to torch.Tensor
        What it is a direction for.
    generator : torch.Generator, optional
        The source of the numbers; torch's own without one.

    Returns
    -------
    tree of torch.Tensor
        In the structure of the point; ``None`` for a leaf that is neither floating nor complex.
    """
    at = Point(None, point)
    return at.rebuilt(direction_at(at, generator))


def directional(
    f: Callable[[Any], Any] | Node,
    point: Any,
    direction: Any = None,
    *,
    method: Method = 'central',
    step: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """The derivative along one direction: a few evaluations, however many entries there are.

    Parameters
    ----------
    f : callable or Node
        From the point to a tensor of any shape, real or complex.
    point : tree of torch.Tensor, or dict of Node to torch.Tensor
        The place; it may be complex.
    direction : tree of torch.Tensor, optional
        In the structure of the point; ``None`` (and for a graph a missing input) stands for zeros. Of
        any length. Without one, ``random_direction(point, generator)``.
    method, step
        As for :func:`gradient`.
    generator : torch.Generator, optional
        For the random direction.

    Returns
    -------
    torch.Tensor
        Of the shape of the value, float64 or complex128.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    >>> round(directional(lambda x: x @ x, x, torch.tensor([1.0, -1.0])).item(), 9)
    -2.0
    """
    at = ready_point(f, point, method, step)
    line = line_along(at, _given(at, direction, generator))
    return derivative(at, [line], method, step)


def estimate_directional(
    f: Callable[[Any], Any] | Node,
    point: Any,
    direction: Any = None,
    *,
    method: Method = 'central',
    step: float | None = None,
    generator: torch.Generator | None = None,
) -> Estimate:
    """The derivative along one direction, with the estimated error and the direction.

    Parameters are those of :func:`directional`; it runs the function about twice as often.

    Returns
    -------
    Estimate
        Of the shape of the value.
    """
    at = ready_point(f, point, method, step)
    tangents = _given(at, direction, generator)
    value, error, steps = estimated_derivative(at, [line_along(at, tangents)], method, step)
    order, runs = order_of(method), at.evaluations
    return Estimate(value, error, steps[0], order, runs, at.rebuilt(tangents))


def estimate_mixed(
    f: Callable[[Any], Any] | Node,
    point: Any,
    directions: Sequence[Any],
    *,
    method: Method = 'central',
    step: float | None = None,
) -> Estimate:
    """The mixed derivative along several directions, one after the other: d/dt₁ … d/dtₙ f.

    Parameters
    ----------
    f, point
        As for :func:`directional`.
    directions : sequence of tree of torch.Tensor
        One for each derivative; the same one twice gives the second derivative along it.
    method, step
        As for :func:`directional`; the method any but ``'complex'``. The default step has the exponent
        1 / (order + n).

    Returns
    -------
    Estimate
        Of the shape of the value. The number of evaluations grows like 2ⁿ (4ⁿ for five points), the
        rounding error like 1/hⁿ.

    Raises
    ------
    NonDifferentiableError
        The method is ``'complex'`` and there is more than one direction.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor(2.0, dtype=torch.float64)
    >>> one = torch.ones_like(x)
    >>> second = estimate_mixed(lambda x: x ** 4, x, [one, one], method='richardson')
    >>> bool((second.value - 48).abs() < 1e-8)
    True
    """
    if method == 'complex' and len(directions) > 1:
        msg = "the complex step gives first derivatives only: choose method='richardson'"
        raise NonDifferentiableError(msg)
    at = ready_point(f, point, method, step)
    lines = [line_along(at, at.matched(d, 'a direction')) for d in directions]
    value, error, steps = estimated_derivative(at, lines, method, step)
    return Estimate(value, error, steps, order_of(method), at.evaluations, list(directions))


def _given(at: Point, direction: Any, generator: torch.Generator | None) -> list[torch.Tensor | None]:
    """The direction that the caller gave, leaf by leaf, or a random one."""
    if direction is None:
        return direction_at(at, generator)
    return at.matched(direction, 'the direction')


def _estimated_entry(
    at: Point, entry: list[Line], method: Method, step: float | None
) -> tuple[Any, Any, Any]:
    """Value, error and step of one entry, real or complex."""
    parts = [estimated_derivative(at, [line], method, step) for line in entry]
    error = max(float(error) for _, error, _ in parts)
    return _joined([value for value, _, _ in parts]), error, parts[0][2][0]


def _joined(parts: list[torch.Tensor]) -> float | complex:
    """The derivatives by real and imaginary part as one number."""
    real, *imaginary = [part.item() for part in parts]
    return complex(real, *imaginary) if imaginary else real


def _shaped(entries_: list[Any], leaf: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(entries_, dtype=dtype, device=leaf.device).reshape(leaf.shape)
