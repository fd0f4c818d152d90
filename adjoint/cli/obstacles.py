"""Why an expression has no value or no derivative at a place, said at the part that is to blame."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from adjoint.cli.derivation import Derivation, Partial
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.select import where
from adjoint.verify.scan import ExpressionError

__all__ = ['kink_of', 'undefined_derivative', 'undefined_value']

# Where the functions are real, as a test and in words.
_DOMAINS: Mapping[str, tuple[Callable[[float], bool], str]] = MappingProxyType({
    'log': (lambda x: x > 0, 'greater than 0'),
    'log2': (lambda x: x > 0, 'greater than 0'),
    'log10': (lambda x: x > 0, 'greater than 0'),
    'log1p': (lambda x: x > -1, 'greater than -1'),
    'sqrt': (lambda x: x >= 0, '0 or more'),
    'rsqrt': (lambda x: x > 0, 'greater than 0'),
    'asin': (lambda x: abs(x) <= 1, 'between -1 and 1'),
    'acos': (lambda x: abs(x) <= 1, 'between -1 and 1'),
    'acosh': (lambda x: x >= 1, '1 or more'),
    'atanh': (lambda x: abs(x) < 1, 'strictly between -1 and 1'),
})  # fmt: skip

_COMPARISONS = frozenset({'gt', 'ge', 'lt', 'le', 'eq', 'ne'})

# At which operands an op has a kink or a jump.
_KINKS: Mapping[str, Callable[[Node, Sequence[float]], bool]] = MappingProxyType({
    'abs': lambda _, x: x[0] == 0,
    'relu': lambda _, x: x[0] == 0,
    'sign': lambda _, x: x[0] == 0,
    'hypot': lambda _, x: x[0] == x[1] == 0,
    'atan2': lambda _, x: x[0] == 0 and x[1] <= 0,
    'maximum': lambda _, x: x[0] == x[1],
    'minimum': lambda _, x: x[0] == x[1],
    'clamp': lambda node, x: x[0] in {node.attrs['min'], node.attrs['max']},
    'floor': lambda _, x: x[0].is_integer(),
    'ceil': lambda _, x: x[0].is_integer(),
    'trunc': lambda _, x: x[0].is_integer(),
    'round': lambda _, x: (x[0] + 0.5).is_integer(),
    'pow': lambda _, x: x[0] == 0,
    **dict.fromkeys(_COMPARISONS, lambda _, x: x[0] == x[1]),
})  # fmt: skip


def undefined_value(derivation: Derivation, at: Mapping[str, float]) -> ExpressionError | None:
    """Why the expression has no finite value at a place, or ``None`` where it has one."""
    return _first_failure(
        derivation, derivation.node, at, f'the expression has no finite value at {place(at)}'
    )


def undefined_derivative(
    derivation: Derivation, partial: Partial, at: Mapping[str, float]
) -> ExpressionError | None:
    """Why a derivative is not finite at a place, or ``None`` where it is."""
    reason = f'{partial.label} is not finite at {place(at)}: the derivative of this part is not'
    failure = _first_failure(derivation, derivation.graph(partial.path), at, reason)
    if failure is None:
        return None
    closed, _ = derivation.symbolic(partial.path)
    shown = '' if closed is None else f'\n{partial.label} = {closed}'
    text, start, end = failure.text, failure.start, failure.end
    return ExpressionError(reason, text, start, end, failure.hint + shown)


def kink_of(derivation: Derivation, partial: Partial, at: Mapping[str, float]) -> ExpressionError | None:
    """Which part has a kink or a jump at a place, so that a derivative does not exist; or ``None``.

    A part may have one that the whole expression does not have, as in ``abs(x)**2``: the slopes of the
    whole on both sides decide.
    """
    order = topological_sort(derivation.node)
    values = dict(zip(order, derivation.values(order, at), strict=True))
    for node in order:
        test = _KINKS.get(node.op.name)
        if test is None or not test(node, _operands(node, values)):
            continue
        slopes = derivation.jumps(partial.path, at)
        if slopes is None:
            return None
        left, right = slopes
        (taken,) = derivation.values([derivation.graph(partial.path)], at)
        start, end = _place(node)
        return ExpressionError(
            f'{partial.label} does not exist at {place(at)}: this part has a kink or a jump there',
            node.location.text,
            start,
            end,
            f'The slope is {_shown(left)} on the left and {_shown(right)} on the right; by '
            f'convention the graph\ntakes {taken:.6g} there.',
        )
    return None


def place(at: Mapping[str, float]) -> str:
    """``x = 2, y = 3``."""
    return ', '.join(f'{name} = {value:.12g}' for name, value in at.items()) or 'any place'


def _first_failure(
    derivation: Derivation, node: Node, at: Mapping[str, float], reason: str
) -> ExpressionError | None:
    order = topological_sort(node)
    values = dict(zip(order, derivation.values(order, at), strict=True))
    if math.isfinite(values[node]):
        return None
    part, culprits = node, [node]
    while culprits:
        part = culprits[0]
        culprits = [x for x in _taken(part, values) if not math.isfinite(values[x])]
    start, end = _place(part)
    why = _explanation(part, _operands(part, values), values[part])
    return ExpressionError(reason, part.location.text, start, end, why)


def _taken(node: Node, values: Mapping[Node, float]) -> list[Node]:
    """The operands that the value of a node comes from: of ``where`` the chosen one."""
    if node.op is not where:
        return node.inputs
    condition, *given = node.inputs
    branches = [None if name in node.attrs else given.pop(0) for name in 'ab']
    chosen = branches[0 if values[condition] else 1]
    return [] if chosen is None else [chosen]


def _explanation(node: Node, given: Sequence[float], value: float) -> str:
    name = node.op.name
    shown = ', '.join(f'{x:.12g}' for x in given)
    if name in _DOMAINS and not _DOMAINS[name][0](given[0]):
        return f'{name}({shown}) is outside its real domain: the argument must be {_DOMAINS[name][1]}'
    if name == 'div' and given[1] == 0:
        return f'{given[0]:.12g} is divided by 0'
    if name == 'reciprocal' and given[0] == 0:
        return '1 is divided by 0'
    if name == 'pow' and given[0] == 0:
        return f'0 ** {given[1]:.12g} is 1 divided by 0'
    if name == 'pow' and given[0] < 0 and math.isnan(value):
        return f'({given[0]:.12g}) ** {given[1]:.12g}, a root of a negative number, is not real'
    if math.isinf(value):
        return f'{name}({shown}) overflows float64, whose largest number is 1.8e308'
    return f'{name}({shown}) is {value}'


def _operands(node: Node, values: Mapping[Node, float]) -> list[float]:
    given = [values[x] for x in node.inputs]
    operands = node.op.operands(node, given) if isinstance(node.op, Elementwise) else given
    return [float(x) for x in operands]


def _place(node: Node) -> tuple[int, int]:
    location = node.location
    return location.start or 0, len(location.text) if location.end is None else location.end


def _shown(slope: float) -> str:
    # At a jump the slope of a difference quotient is the height over the step: it grows without end.
    return f'{slope:.6g}' if abs(slope) < 1e5 else ('unbounded' if math.isfinite(slope) else 'none')  # noqa: PLR2004 see above
