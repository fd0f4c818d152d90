"""Taylor mode: truncated power series carried through a graph, as nodes of the same graph."""

from collections.abc import Mapping, Sequence
from typing import overload

from adjoint.autodiff.recurrences import Request, Rule, flowing, rule_of, scaled
from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.core.numbering import Numbering
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.creation import Creation, placeholder, zeros_like
from adjoint.ops.elementwise import Step
from adjoint.ops.linear import alias

__all__ = ['Expansion', 'taylor']


@overload
def taylor(
    outputs: Node, series: Mapping[Node, Sequence[Node | None]], order: int | None = None
) -> list[Node | None]: ...
@overload
def taylor(
    outputs: Sequence[Node], series: Mapping[Node, Sequence[Node | None]], order: int | None = None
) -> list[list[Node | None]]: ...
def taylor(
    outputs: Node | Sequence[Node],
    series: Mapping[Node, Sequence[Node | None]],
    order: int | None = None,
) -> list[Node | None] | list[list[Node | None]]:
    """Carry power series of some nodes to others.

    Where ``x`` moves along ``x + x1*t + x2*t**2 + ...``, an output moves along ``y + y1*t + y2*t**2 + ...``.

    Parameters
    ----------
    outputs : Node or sequence of Node
        Whose coefficients are wanted.
    series : mapping of Node to sequence of Node or None
        Nodes with their coefficients ``[x1, x2, ...]``, each of the shape of its node; ``None`` is zero, and
        so is what is left out at the end.
    order : int, optional
        The highest order; by default the number of coefficients in the longest series.

    Returns
    -------
    list of Node or None, or a list of such lists
        The coefficients ``[y1, y2, ...]`` of each output, of its shape, up to the order; ``None`` where one
        is zero whatever the values.

    Raises
    ------
    TensorTypeError
        Something else than a node is given, or the order is negative.

    Notes
    -----
    The k-th derivative by ``t`` at 0 is the k-th coefficient times ``k!``. All coefficients up to an order
    cost about its square times the function, where nested derivatives double from order to order.

    At kinks and poles the conventions are those of the pushforward of each op.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> first, second, third = ad.taylor(ad.exp(x), {x: [ad.ones_like(x)]}, order=3)
    >>> ad.Evaluator([first, second, third]).run({x: torch.tensor(0.0)})
    [tensor(1.), tensor(0.5000), tensor(0.1667)]
    """
    many = [outputs] if isinstance(outputs, Node) else list(outputs)
    longest = max((len(coefficients) for coefficients in series.values()), default=0)
    highest = longest if order is None else order
    _check(many, series, highest)
    requests = [(node, k) for node in many for k in range(1, highest + 1)]
    found = iter(Expansion(many, series).coefficients(requests))
    result = [[next(found) for _ in range(highest)] for _ in many]
    return result[0] if isinstance(outputs, Node) else result


def _check(outputs: Sequence[Node], series: Mapping[Node, Sequence[Node | None]], order: int) -> None:
    given = [
        *outputs,
        *series,
        *(c for coefficients in series.values() for c in coefficients if c is not None),
    ]
    for node in given:
        if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            msg = (
                f'taylor takes nodes, and got {node!r} of type {type(node).__name__}: pass the Variable, or '
                f'make it a node with constant(...)'
            )
            raise TensorTypeError(msg)
    if order < 0:
        msg = f'the order of a series is 0 or more, and got {order}'
        raise TensorTypeError(msg)


class Expansion:
    """The power series of all values of a graph, each coefficient found when it is asked for, and once.

    Parameters
    ----------
    outputs : sequence of Node
        The graph.
    series : mapping of Node to sequence of Node or None
        What moves, with its coefficients from the first.

    Notes
    -----
    Products, quotients and linear maps have recurrences of their own. For every other op there is one:
    ``dy/dt`` is its pushforward of ``dx/dt``, so that ``k * y_k`` is coefficient ``k - 1`` of that graph,
    which is made of ops like any other. Where it holds ``y`` itself, as for ``exp``, or comes back to it,
    as for ``sin``, sharing closes the recurrence.
    """

    def __init__(self, outputs: Sequence[Node], series: Mapping[Node, Sequence[Node | None]]) -> None:
        self._order = topological_sort(outputs, behind=series)
        self._shared = Numbering(self._order)
        self._series = {
            x: [None if c is None else self._shared.of(c) for c in cs] for x, cs in series.items()
        }
        self._moves: dict[Node, bool] = {x: any(c is not None for c in cs) for x, cs in series.items()}
        self._found: dict[Request, Node | None] = {}
        self._velocities: dict[Node, Node] = {}  # of a node, what stands for dx/dt
        self._of_velocity: dict[Node, Node] = {}  # of what stands for dx/dt, the node
        self._pushforwards: dict[Node, Node | None] = {}

    def _numbered(self, nodes: Sequence[Node | None]) -> list[Node | None]:
        return [None if n is None else self._shared.of(n) for n in nodes]

    def coefficients(self, requests: Sequence[Request]) -> list[Node | None]:
        """Return the coefficients of some nodes at some orders; ``None`` where one is zero."""
        outside = ambient_site()
        try:
            found = [self._coefficient(*request) for request in requests]
        finally:
            leave_sites(outside)
        return self._finished(found)

    def _coefficient(self, node: Node, order: int) -> Node | None:
        running: list[tuple[Request, Rule]] = []
        asked: Request | None = (node, order)
        answer: Node | None = None
        while True:
            if asked is not None:
                known, answer = self._known(*asked)
                if not known:
                    running.append((asked, self._rule(*asked)))
            if not running:
                return answer
            (at, k), rule = running[-1]
            enter_site(at.site)
            try:
                asked = rule.send(answer)
            except StopIteration as done:
                running.pop()
                returned: Node | None = done.value
                answer = self._found[at, k] = None if returned is None else self._shared.of(returned)
                asked = None

    def _known(self, node: Node, order: int) -> tuple[bool, Node | None]:
        """Return whether a coefficient is known, and it."""
        if order == 0:
            return True, node
        if not self.moves(node):
            return True, None
        given = self._series.get(node)
        if given is not None:
            return True, given[order - 1] if order <= len(given) else None
        request = node, order
        return request in self._found, self._found.get(request)

    def moves(self, node: Node) -> bool:
        """Return whether a node depends on what moves in a way that a derivative flows."""
        known = self._moves
        stack = [node]
        while stack:
            top = stack[-1]
            if top in known:
                stack.pop()
                continue
            is_fixed = isinstance(top.op, (Creation, Step)) or top.op is placeholder
            if is_fixed or (top.type is not None and not _flows(top)):
                known[top] = False
                continue
            operands = [top.inputs[i] for i in flowing(top)]
            pending = [x for x in operands if x not in known]
            if pending:
                stack.extend(pending)
            else:
                known[top] = any(known[x] for x in operands)
        return known[node]

    def _rule(self, node: Node, order: int) -> Rule:
        if node in self._of_velocity:
            return self._velocity(node, order)
        recurrence = rule_of(node)
        return self._along(node, order) if recurrence is None else recurrence(node, order)

    def _along(self, node: Node, order: int) -> Rule:
        """Any op: ``k * y_k`` is coefficient ``k - 1`` of its pushforward."""
        if node not in self._pushforwards:
            tangents: list[Node | None] = []
            for x in node.inputs:
                first = (yield x, 1) if self.moves(x) else None
                tangents.append(self._velocity_of(x, first) if self.moves(x) else None)
            moved = node.op.jvp(node, tangents)
            self._pushforwards[node] = None if moved is None else self._shared.of(moved)
        pushed = self._pushforwards[node]
        if pushed is None:
            return None
        coefficient = yield pushed, order - 1
        return None if coefficient is None else scaled(coefficient, 1, order)

    def _velocity_of(self, x: Node, first: Node | None) -> Node:
        """Return what stands for dx/dt: a node of its own, since its value at 0 has another series."""
        if x not in self._velocities:
            given = self._series.get(x)
            is_constant = given is not None and all(c is None for c in given[1:])
            if is_constant and first is not None and not self.moves(first):
                self._velocities[x] = first
            else:
                stands = alias(zeros_like(x) if first is None else first)
                self._velocities[x] = stands
                self._of_velocity[stands] = x
                self._moves[stands] = True
        return self._velocities[x]

    def _velocity(self, stands: Node, order: int) -> Rule:
        """``dx/dt``, whose coefficients are those of ``x`` one order up."""
        coefficient = yield self._of_velocity[stands], order + 1
        return None if coefficient is None else scaled(coefficient, order + 1)

    def _finished(self, nodes: Sequence[Node | None]) -> list[Node | None]:
        """Return nodes with the values at 0 in the places of what stands for them."""
        made: dict[Node, Node] = {}
        for node in topological_sort([n for n in nodes if n is not None]):
            if node in self._of_velocity:
                made[node] = made[node.inputs[0]]
                continue
            inputs = [made[x] for x in node.inputs]
            changed = inputs != node.inputs
            made[node] = node
            if changed:
                again = node.restored(inputs, node.op, node.attrs, node.given_name, node.site, node.type)
                made[node] = self._shared.of(again)
        return [None if n is None else made[n] for n in nodes]


def _flows(node: Node) -> bool:
    known = node.type
    return known is None or known.items is not None or known.is_differentiable
