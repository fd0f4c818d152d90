"""What flows from one node to another, by which path, and what cuts it where nothing does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from adjoint.autodiff.pullback import pullback
from adjoint.core.errors import NonDifferentiableError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.rebuild import dependents
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import alias
from adjoint.ops.several import packed, slots

__all__ = ['Connection', 'Cut', 'explain_connection']

Verdict: TypeAlias = Literal['connected', 'zero', 'cut', 'undefined', 'apart']
Reason: TypeAlias = Literal['zero', 'step', 'sizes', 'stop', 'integer', 'undefined']

_REASONS: Mapping[Reason, str] = {
    'zero': 'the derivative of {op} by this operand is zero',
    'step': '{op} is constant between its jumps, so its derivative is zero',
    'sizes': '{op} reads only the sizes and the dtype of its operand, so its derivative is zero',
    'stop': '{op} stops the derivative',
    'integer': "integers and booleans have no derivative, and '{node}' is {type}",
    'undefined': '{error}',
}

# What is zero by the mathematics of it, not because something is in the way.
_ZEROS = frozenset({'zero', 'sizes'})


@dataclass(frozen=True)
class Cut:
    """A place where a derivative that flows to a node does not flow on to an operand.

    Parameters
    ----------
    node, operand : Node
        The node, and the operand that nothing flows to.
    reason : {'zero', 'step', 'sizes', 'stop', 'integer', 'undefined'}
        Why: the rule gives zero; the op is a step function; it reads only sizes and dtype; it is there to
        stop derivatives; one of the two is no floating or complex tensor; the op states no derivative.
    text : str
        The reason as a sentence.
    """

    node: Node
    operand: Node
    reason: Reason
    text: str

    def __str__(self) -> str:
        return f"at '{self.node}': {self.text}\n{self.node.location}"


@dataclass(frozen=True)
class Connection:
    """What :func:`explain_connection` found; as text, a few lines for people.

    Parameters
    ----------
    output, node : Node
        The derivative is that of ``output`` by ``node``.
    verdict : {'connected', 'zero', 'cut', 'undefined', 'apart'}
        A derivative flows; it is zero by the structure of the graph; it is cut; an op on the way states no
        derivative; the output does not depend on the node at all.
    path : tuple of Node
        The shortest path that a derivative takes, from the output to the node; empty if there is none.
    cuts : tuple of Cut
        Where it stops, nearest to the output first. Also of a connected node: what stops other paths.
    """

    output: Node
    node: Node
    verdict: Verdict
    path: tuple[Node, ...]
    cuts: tuple[Cut, ...]

    def __bool__(self) -> bool:
        """Whether a derivative flows."""
        return self.verdict == 'connected'

    def __str__(self) -> str:
        output, node = f"'{self.output}'", f"'{self.node}'"
        if self.verdict == 'connected':
            steps = [
                f'  {n}{"" if n.type is None else f": {n.type}"}    {n.location.short}' for n in self.path
            ]
            also = f'\nOther paths are cut in {len(self.cuts)} places.' if self.cuts else ''
            return '\n'.join([f'{output} is connected to {node}:', *steps]) + also
        if self.verdict == 'apart':
            return f'{output} does not depend on {node}.'
        verdict = {
            'zero': f'The derivative of {output} by {node} is zero',
            'cut': f'The derivative of {output} by {node} is cut',
            'undefined': f'The derivative of {output} by {node} is not defined',
        }[self.verdict]
        return '\n'.join([f'{verdict}:', *map(str, self.cuts)])


def explain_connection(output: Node, node: Node) -> Connection:
    """Say whether a derivative flows from an output to a node, by which path, or what is in the way.

    Parameters
    ----------
    output : Node
        What is differentiated.
    node : Node
        What it is differentiated by.

    Returns
    -------
    Connection
        True where a derivative flows; its text names the path, or each op that cuts it with its line.

    Raises
    ------
    TensorTypeError
        An argument is no node.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> ad.explain_connection(ad.exp(ad.sin(x)), x).path
    (<Node exp(sin)>, <Node sin(x)>, <Node x>)
    >>> found = ad.explain_connection(ad.exp(ad.floor(x)), x)
    >>> found.verdict, found.cuts[0].text
    ('cut', 'floor is constant between its jumps, so its derivative is zero')
    """
    for given in (output, node):
        if not isinstance(given, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            msg = (
                f'explain_connection takes two nodes, and got {described(given)}'
                f'\n{location_of(calling_site())}'
            )
            raise TensorTypeError(msg)
    behind = dependents([output], [node])
    flows, cuts = _flows(output, node, behind)
    path = _shortest(output, node, flows)
    if path:
        verdict: Verdict = 'connected'
    elif output is not node and output not in behind:
        verdict = 'apart'
    elif any(cut.reason == 'undefined' for cut in cuts):
        verdict = 'undefined'
    else:
        verdict = 'zero' if all(cut.reason in _ZEROS for cut in cuts) else 'cut'
    return Connection(output, node, verdict, path, tuple(cuts))


def _flows(output: Node, target: Node, behind: Sequence[Node]) -> tuple[dict[Node, list[Node]], list[Cut]]:
    """Return to which operands a derivative flows at each node that it reaches, and where it stops."""
    depending = set(behind)
    flows: dict[Node, list[Node]] = {}
    cuts: list[Cut] = []
    # What reaches a node; any cotangent does. The alias keeps rules from seeing what it is.
    reaching: dict[Node, Node] = {}
    if _carries(output):
        reaching[output] = alias(zeros_like(output))
    elif output in depending:
        cuts += _roundings(output, depending)
    for node in reversed(behind):
        ct = reaching.pop(node, None)
        if ct is None or node is target:
            continue
        try:
            pulled = pullback(node, ct)
        except NonDifferentiableError as error:
            text = str(error).splitlines()[0]
            cuts += [Cut(node, x, 'undefined', text) for x in node.inputs if x in depending]
            continue
        for x, part in zip(node.inputs, pulled, strict=True):
            if x not in depending:
                continue
            if not _carries(x):
                cuts += _roundings(x, depending)
            elif part is None or part.op is zeros_like:
                reason = node.op.nothing
                cuts.append(Cut(node, x, reason, _REASONS[reason].format(op=node.op.name)))
            else:
                flows.setdefault(node, []).append(x)
                reaching[x] = _joined(reaching.get(x), x, part)
    return flows, list(dict.fromkeys(cuts))


def _carries(node: Node) -> bool:
    return node.type is None or node.type.items is not None or node.type.is_differentiable


def _roundings(whole: Node, depending: set[Node]) -> list[Cut]:
    """Return where the numbers behind a node of integers or booleans were last floating or complex."""
    cuts: list[Cut] = []
    seen = {whole}
    stack = [whole]
    while stack:
        node = stack.pop()
        for x in node.inputs:
            if x not in depending:
                continue
            if _carries(x):
                reason = 'step' if node.op.nothing == 'step' else 'integer'
                text = _REASONS[reason].format(op=node.op.name, node=node, type=node.type)
                cuts.append(Cut(node, x, reason, text))
            elif x not in seen:
                seen.add(x)
                stack.append(x)
    if not cuts:  # the node itself, which is what it is differentiated by
        cuts.append(Cut(whole, whole, 'integer', _REASONS['integer'].format(node=whole, type=whole.type)))
    return cuts


def _joined(known: Node | None, node: Node, part: Node) -> Node:
    """Return a cotangent that flows wherever the known one or the new one does."""
    if node.op.outputs == 1:
        return alias(zeros_like(node))
    if known is None:
        return part
    pairs = zip(slots(known), slots(part), strict=True)
    return packed([b if a is None else a for a, b in pairs])


def _shortest(output: Node, node: Node, flows: Mapping[Node, Sequence[Node]]) -> tuple[Node, ...]:
    """Return the shortest path along which something flows, by breadth first; empty if there is none."""
    if output is node:
        return (output,) if _carries(output) else ()
    came_from: dict[Node, Node] = {}
    front = [output]
    while front and node not in came_from:
        following: list[Node] = []
        for y in front:
            for x in flows.get(y, ()):
                if x not in came_from:
                    came_from[x] = y
                    following.append(x)
        front = following
    if node not in came_from:
        return ()
    path = [node]
    while path[-1] is not output:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))
