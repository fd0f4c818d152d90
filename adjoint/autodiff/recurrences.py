"""The coefficients of the power series of a value, from those of its operands: one rule for each kind of op.

A rule is a generator. It asks for coefficients by yielding ``(node, order)``, is sent each as a node
(``None`` where it is zero), and returns its own. Nothing is called from within a rule, so that neither the
depth of a graph nor the order meets a limit of recursion.
"""

from collections.abc import Callable, Generator, Sequence
from itertools import product
from typing import TypeAlias

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.arithmetic import Add, Div, Mul, Neg, Sub, div
from adjoint.ops.contraction import Multilinear, matmul
from adjoint.ops.creation import ones_like
from adjoint.ops.linalg import Solve
from adjoint.ops.linear import Linear, same_type
from adjoint.ops.select import Where
from adjoint.ops.several import Item, Pack, packed, slots

__all__ = ['Request', 'Rule', 'flowing', 'rule_of', 'scaled']

Request: TypeAlias = tuple[Node, int]
Rule: TypeAlias = Generator[Request, Node | None, Node | None]


def flowing(node: Node) -> list[int]:
    """Return the positions of the operands that a derivative of the node can flow from."""
    op = node.op
    if isinstance(op, (Linear, Multilinear)) and op.linear_in is not None:
        return list(op.linear_in)
    return list(range(len(node.inputs)))


def rule_of(node: Node) -> 'Callable[[Node, int], Rule] | None':
    """Return the recurrence of a node, or ``None`` where its pushforward is the way."""
    op = node.op
    if isinstance(op, (Linear, Where, Neg, Add, Sub)) or _is_scaling(node):
        return affine
    if isinstance(op, Mul):
        return cauchy
    found: dict[type[Op], Callable[[Node, int], Rule]] = {
        Multilinear: cauchy,
        Div: quotient,
        Solve: solution,
        Item: entry,
        Pack: entries,
    }
    return next((rule for kind, rule in found.items() if isinstance(op, kind)), None)


def _is_scaling(node: Node) -> bool:
    """Whether a node is its operand times a number."""
    if not isinstance(node.op, (Mul, Div)) or len(node.inputs) != 1:
        return False
    return isinstance(node.op, Mul) or node.attrs['side'] == 'right'


def affine(node: Node, order: int) -> Rule:
    """Linear in what moves, the rest held fixed: the pushforward of the coefficients."""
    given: list[Node | None] = [None] * len(node.inputs)
    for i in flowing(node):
        given[i] = yield node.inputs[i], order
    return None if all(c is None for c in given) else node.op.jvp(node, given)


def cauchy(node: Node, order: int) -> Rule:
    """Linear in each operand: the sum of all products whose orders add up."""
    positions = flowing(node)
    series: dict[int, list[Node | None]] = {}
    for i in positions:
        series[i] = []
        for k in range(order + 1):
            coefficient = yield node.inputs[i], k
            series[i].append(coefficient)
    if isinstance(node.op, Mul) and node.inputs[0] is node.inputs[1]:
        return _square(series[0], order)
    total: Node | None = None
    for head in product(range(order + 1), repeat=len(positions) - 1):
        last = order - sum(head)
        if last < 0:
            continue
        chosen = [series[i][k] for i, k in zip(positions, (*head, last), strict=True)]
        if None not in chosen:
            operands = list(node.inputs)
            for i, c in zip(positions, chosen, strict=True):
                operands[i] = c  # pyright: ignore[reportArgumentType, reportCallIssue] none is None
            total = _plus(total, _multiplied(node, operands))
    return total


def _square(series: 'Sequence[Node | None]', order: int) -> Node | None:
    """Return a coefficient of a square, each mixed product once."""
    total: Node | None = None
    for k in range((order + 1) // 2):
        a, b = series[k], series[order - k]
        if a is not None and b is not None:
            total = _plus(total, _times(a, b))
    total = None if total is None else total * 2
    middle = series[order // 2] if order % 2 == 0 else None
    return total if middle is None else _plus(total, _times(middle, middle))


def quotient(node: Node, order: int) -> Rule:
    """``y = a / b``: from ``y * b = a``."""
    a, b = node.inputs if len(node.inputs) > 1 else (None, node.inputs[0])
    total: Node | None = None
    if a is not None:
        total = yield a, order
    removed: Node | None = None
    for k in range(1, order + 1):
        divisor = yield b, k
        if divisor is not None:
            value = yield node, order - k
            removed = removed if value is None else _plus(removed, _times(divisor, value))
    rest = _minus(total, removed)
    return None if rest is None else div(rest, b)


def solution(node: Node, order: int) -> Rule:
    """``a @ x = b``: the pushforward with the products of lower orders taken from the right side."""
    a, b = node.inputs
    highest = yield a, order
    right = yield b, order
    removed: Node | None = None
    for k in range(1, order):
        matrix = yield a, k
        if matrix is not None:
            value = yield node, order - k
            removed = removed if value is None else _plus(removed, matmul(matrix, value))
    return node.op.jvp(node, [highest, _minus(right, removed)])


def entry(node: Node, order: int) -> Rule:
    """One output of an op with several."""
    position: int = node.attrs['position']
    whole = yield node.inputs[0], order
    return None if whole is None else slots(whole)[position]


def entries(node: Node, order: int) -> Rule:
    """A tuple: each entry for itself."""
    found: list[Node | None] = [None] * node.attrs['count']
    for place, x in zip(node.attrs['places'], node.inputs, strict=True):
        found[place] = yield x, order
    return None if all(c is None for c in found) else packed(found)


def scaled(c: Node, factor: int, divisor: int = 1) -> Node:
    """Return a coefficient times an integer or over one; of a tuple, entry by entry."""
    if factor == divisor:
        return c
    if isinstance(c.op, Pack):
        return packed([None if x is None else scaled(x, factor, divisor) for x in slots(c)])
    return c * factor if divisor == 1 else c / divisor


def _multiplied(node: Node, operands: list[Node]) -> Node:
    if isinstance(node.op, Mul):
        return _times(*operands)
    return Node(operands, node.op, node.attrs)


def _times(a: Node, b: Node) -> Node:
    """Return the product; a factor of ones is left out where the types are known to agree."""
    if same_type(a, b):
        if a.op is ones_like:
            return b
        if b.op is ones_like:
            return a
    return a * b


def _plus(a: Node | None, b: Node) -> Node:
    return b if a is None else a + b


def _minus(a: Node | None, b: Node | None) -> Node | None:
    if b is None:
        return a
    return -b if a is None else a - b
