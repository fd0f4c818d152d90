"""Witnesses that do not know our rules: formulas in high precision, and torch's own autograd."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import mpmath as untyped_mpmath
import sympy as untyped_sympy
import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.ops.elementwise import Binary, Elementwise, Partial, Unary
from adjoint.ops.formula import formula_of

__all__ = ['by_autograd', 'formula_partials', 'formula_value', 'stated_partials']

mpmath: Any = untyped_mpmath  # neither ships types
sympy: Any = untyped_sympy

_DIGITS = 40

# Of a larger tensor this many entries, evenly spaced, are computed in high precision.
_ENTRIES = 256

# Derivatives of these are not those of complex analysis.
_NOT_ANALYTIC = ('Abs', 'sign', 'Max', 'Min', 'atan2', 'floor', 'ceiling', 'Heaviside', 'DiracDelta')


def formula_value(node: Node, values: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Compute an elementwise node from its formula with 40 digits.

    Returns
    -------
    tuple of torch.Tensor, or None
        The value of the shape of the broadcast operands, nan where it is not computed, and where it is.
        ``None`` where the op has no formula.
    """
    read = _formula(node)
    return None if read is None else _evaluated(read[0], read[1], _operands(node, values))


def formula_partials(
    node: Node, values: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]] | None:
    """Compute the derivatives of the formula by each tensor operand, as :func:`formula_value` does.

    Returns
    -------
    list of tuple of torch.Tensor, or None
        One for each of the inputs of the node. ``None`` where there is no formula, or where the operands
        are complex and the formula is not analytic.
    """
    read = _formula(node)
    if read is None:
        return None
    expression, symbols = read
    operands = _operands(node, values)
    is_complex = any(isinstance(o, torch.Tensor) and o.is_complex() for o in operands)
    if is_complex and any(expression.has(getattr(sympy, name)) for name in _NOT_ANALYTIC):
        return None
    return [
        _evaluated(_derivative(expression, symbol), symbols, operands)
        for symbol, operand in zip(symbols, operands, strict=True)
        if isinstance(operand, torch.Tensor)
    ]


def stated_partials(node: Node) -> list[Partial] | None:
    """Return what the rule of an elementwise op states for its tensor operands, or ``None``."""
    op, inputs = node.op, node.inputs
    if isinstance(op, Unary) and type(op).partial is not Unary.partial:
        return [op.partial(node, inputs[0])]
    if isinstance(op, Binary) and type(op).partials is not Binary.partials:
        operands = op.operands(node)
        stated = op.partials(node, *operands)
        return [p for p, o in zip(stated, operands, strict=True) if isinstance(o, Node)]
    return None


def by_autograd(
    outputs: Sequence[Node],
    feed: Mapping[Node, torch.Tensor],
    moving: Sequence[Node],
    cotangents: Sequence[torch.Tensor | None],
) -> list[torch.Tensor | None]:
    """Differentiate a graph by torch: each node computes with autograd recording what it does.

    Parameters
    ----------
    outputs : sequence of Node
        What is differentiated.
    feed : mapping of Node to torch.Tensor
        Values of inputs.
    moving : sequence of Node
        The inputs that are differentiated by.
    cotangents : sequence of torch.Tensor or None
        One for each output; ``None`` for one without a derivative.

    Returns
    -------
    list of torch.Tensor or None
        One gradient for each of ``moving``; ``None`` where torch recorded nothing: nothing flows, or a
        node computes without torch.
    """
    values = {node: value.detach() for node, value in feed.items()}
    for node in moving:
        values[node] = values[node].requires_grad_()
    with torch.enable_grad():
        for node in topological_sort(outputs, behind=feed):
            if node not in values:
                values[node] = node.op.compute(node, [values[x] for x in node.inputs])
        pairs = [
            (values[node], ct)
            for node, ct in zip(outputs, cotangents, strict=True)
            if ct is not None and values[node].requires_grad
        ]
        if not pairs or not moving:
            return [None for _ in moving]
        found = torch.autograd.grad(
            [y for y, _ in pairs],
            [values[node] for node in moving],
            [ct for _, ct in pairs],
            allow_unused=True,
        )
    # With allow_unused there may be None, which the signature of torch does not say.
    return [None if g is None else g.detach() for g in cast('Sequence[torch.Tensor | None]', found)]


def _formula(node: Node) -> tuple[Any, tuple[Any, ...]] | None:
    if not isinstance(node.op, Elementwise):
        return None
    try:
        return formula_of(node.op, len(node.op.operands(node)))
    except UnsupportedOpError:
        return None


def _operands(node: Node, values: Sequence[torch.Tensor]) -> list[Any]:
    """Return the operands in order: tensors, and Python numbers."""
    assert isinstance(node.op, Elementwise)  # noqa: S101 seen by the callers
    return node.op.operands(node, values)


@functools.cache
def _derivative(expression: Any, symbol: Any) -> Any:
    return sympy.diff(expression, symbol)


def _heaviside(x: Any, *_: Any) -> Any:
    # At the jump itself it is never asked for: samples there are not smooth.
    return mpmath.mpf(x > 0)


def _delta(*_: Any) -> Any:
    return mpmath.mpf(0)


@functools.cache
def _function(expression: Any, symbols: tuple[Any, ...]) -> Callable[..., Any]:
    steps = {'Heaviside': _heaviside, 'DiracDelta': _delta}
    return sympy.lambdify(symbols, expression, modules=[steps, 'mpmath'])


def _evaluated(
    expression: Any, symbols: tuple[Any, ...], operands: Sequence[Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Evaluate entry by entry; entries at poles, and those beyond the limit, are left out."""
    tensors = [o for o in operands if isinstance(o, torch.Tensor)]
    shape = torch.Size(cast('Sequence[int]', torch.broadcast_shapes(*(t.shape for t in tensors))))
    numbers = [_entries(o, shape) for o in operands]
    count = shape.numel()
    is_complex = any(isinstance(n, complex) for column in numbers for n in column[:1])
    function = _function(expression, symbols)
    result: list[complex] = [math.nan] * count
    for i in range(0, count, max(1, -(-count // _ENTRIES))):
        result[i] = _entry(function, [column[i] for column in numbers], is_complex)
    dtype = torch.complex128 if is_complex else torch.float64
    found = torch.tensor(result, dtype=dtype).reshape(shape)
    return found, ~found.isnan()


def _entries(operand: Any, shape: torch.Size) -> list[Any]:
    """Return the entries of an operand, broadcast to the shape of the value, in order."""
    if isinstance(operand, torch.Tensor):
        return cast('list[Any]', operand.expand(shape).reshape(-1).tolist())
    return [operand] * shape.numel()


def _entry(function: Callable[..., Any], operands: Sequence[Any], is_complex: bool) -> complex:
    with mpmath.workdps(_DIGITS):
        try:
            exact = mpmath.mpmathify(function(*(mpmath.mpmathify(o) for o in operands)))
        except (ValueError, ZeroDivisionError, OverflowError):
            return math.nan
        if is_complex:
            return complex(exact)
        return float(exact.real) if exact.imag == 0 else math.nan
