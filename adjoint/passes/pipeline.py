"""The passes in their order, the levels of exactness, and the checks between the passes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import torch

from adjoint.core.errors import RuleError, TensorTypeError
from adjoint.core.graph import runner_of
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import rebuilt
from adjoint.ops.body import variable_like
from adjoint.ops.creation import placeholder
from adjoint.ops.linear import alias
from adjoint.passes.chains import chained
from adjoint.passes.compare import compare
from adjoint.passes.folding import folded
from adjoint.passes.lightening import lightened
from adjoint.passes.likes import LIKES
from adjoint.passes.marks import MARKS
from adjoint.passes.merging import merged
from adjoint.passes.rewrite import Family, Rewrite, joined
from adjoint.passes.rounding import ROUND
from adjoint.passes.scales import SCALES
from adjoint.passes.simplify import SIMPLIFY
from adjoint.passes.stabilize import COMPLEMENT, STABILIZE
from adjoint.passes.together import TOGETHER
from adjoint.passes.views import VIEWS
from adjoint.passes.walk import Walk, Walked, compatible

__all__ = ['FAMILIES', 'LEVELS', 'ROOM', 'Level', 'Optimized', 'Step', 'optimize', 'optimized', 'stabilize']

Level: TypeAlias = Literal['none', 'bitwise', 'default', 'fast']

# Which kinds of exactness each level takes.
LEVELS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        'none': frozenset[str](),
        'bitwise': frozenset({'bitwise'}),
        'default': frozenset({'bitwise', 'accurate'}),
        'fast': frozenset({'bitwise', 'accurate', 'rounding', 'except'}),
    }
)

# In their order.
FAMILIES: tuple[Family, ...] = (STABILIZE, COMPLEMENT, LIKES, VIEWS, SIMPLIFY, SCALES, ROUND, TOGETHER)

# A walk for those that look for what the user wrote, and then one for those that tidy up.
_FIRST = frozenset({'stabilize', 'complement'})

# What a loop may have computed for all of its steps together, in bytes, if nobody says.
ROOM = 1 << 23

# Passes over whole graphs that round in another way.
_ROUNDING: Mapping[str, Callable[[Iterable[Node]], Walked]] = MappingProxyType(
    {'chains': chained, 'merging': merged}
)

# One pass may make work for another; more rounds than this have not been seen to help.
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One pass over a graph.

    Parameters
    ----------
    name : str
        Of the pass.
    nodes : list of Node
        The outputs after it.
    applied : int
        How many rewrites it applied.
    merged : int
        How many equal nodes it merged.
    made_by : dict of Node to Rewrite
        The nodes that it made, with the rewrite that made each.
    """

    name: str
    nodes: list[Node]
    applied: int
    merged: int
    made_by: dict[Node, Rewrite] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Optimized:
    """A graph with the passes that it came from.

    Parameters
    ----------
    nodes : list of Node
        What stands in the place of each of the given nodes.
    steps : list of Step
        The passes that changed something, in order.
    """

    nodes: list[Node]
    steps: list[Step]


def optimize(
    nodes: Iterable[Node],
    level: Level = 'default',
    *,
    keep: Iterable[Node] = (),
    final: bool = False,
    compare_on: Mapping[Node, torch.Tensor] | None = None,
    room: int = ROOM,
) -> list[Node]:
    """Return nodes of the same values with smaller graphs.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.
    level : {'none', 'bitwise', 'default', 'fast'}
        Which rewrites are applied: ``bitwise`` changes no bit; ``default`` also what comes closer to the
        true value; ``fast`` also what is as close but rounds in another way, or differs under a condition
        that the rewrite states.
    keep : iterable of Node
        Inner nodes that have to stay, such as those that will be differentiated by. Nothing looks behind
        them.
    final : bool
        Whether the graph will only be run, and not be differentiated. Marks that only a derivative sees,
        such as ``detach``, are then taken out, and values that one kernel gives are computed by one.
    compare_on : mapping of Node to torch.Tensor, optional
        Values of the variables. After each pass the graph is run on them and compared with the one before.
    room : int, optional
        How many bytes a loop may have computed for all of its steps at once, in a graph that is ``final``: by
        default 8 MiB. What does not fit is computed in each step.

    Returns
    -------
    list of Node
        In the order of ``nodes``, on the same variables.

    Raises
    ------
    RuleError
        A pass changed the type of a value, took other inputs, or changed a value that is compared.

    Notes
    -----
    Values that were computed apart may be one tensor afterwards, an output may be an input itself, and
    numbers that the graph holds are frozen. Tensors that it holds are not: they may be changed in place.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', shape=(3,), dtype=torch.float64)
    >>> g, = ad.gradients(ad.sin(x) * ad.sin(x), [x])
    >>> len(ad.topological_sort(g)), len(ad.topological_sort(optimize([g])))
    (7, 5)
    """
    return optimized(nodes, level, keep=keep, final=final, compare_on=compare_on, room=room).nodes


def optimized(
    nodes: Iterable[Node],
    level: Level = 'default',
    *,
    keep: Iterable[Node] = (),
    final: bool = False,
    compare_on: Mapping[Node, torch.Tensor] | None = None,
    room: int = ROOM,
) -> Optimized:
    """Return what :func:`optimize` does, with the passes on the way."""
    given = _checked(nodes, level)
    left_out = (COMPLEMENT,) if final else (MARKS, TOGETHER)
    families = [f for f in (MARKS, *FAMILIES) if f not in left_out]
    last = [_Pass('loops', partial(lightened, level=level, room=room))] if final else []
    return _optimized(given, LEVELS[level], families, keep, compare_on, last)


def _optimized(
    given: list[Node],
    kinds: frozenset[str],
    families: Sequence[Family],
    keep: Iterable[Node],
    compare_on: Mapping[Node, torch.Tensor] | None = None,
    last: Sequence['_Pass'] = (),
) -> Optimized:
    """Run passes with variables in the place of the kept nodes."""
    stand_ins = {node: variable_like(node, node.name) for node in keep if node.op is not placeholder}
    hidden = rebuilt(given, stand_ins) if stand_ins else given
    back = {stand_in: node for node, stand_in in stand_ins.items()}
    feed = None if compare_on is None else _with_kept(compare_on, stand_ins)
    passes = [*_passes(kinds, families), *last] if kinds else []
    steps = list(_run(hidden, passes, feed, rounds='rounding' in kinds))
    if back:
        steps = [replace(step, nodes=rebuilt(step.nodes, back)) for step in steps]
    return Optimized(steps[-1].nodes if steps else given, steps)


def _checked(nodes: Iterable[Node], level: str) -> list[Node]:
    if isinstance(nodes, Node):
        msg = 'optimize takes a list of nodes: write optimize([y])'
        raise TensorTypeError(msg)
    if level not in LEVELS:
        msg = f'a level is one of {", ".join(map(repr, LEVELS))}, and got {level!r}'
        raise ValueError(msg)
    return list(nodes)


def _with_kept(feed: Mapping[Node, torch.Tensor], stand_ins: Mapping[Node, Node]) -> dict[Node, torch.Tensor]:
    """Return the values for a run with variables in the place of kept nodes."""
    values = runner_of(list(stand_ins)).run(feed) if stand_ins else []
    return {**feed, **dict(zip(stand_ins.values(), values, strict=True))}


def _run(
    nodes: list[Node],
    passes: Sequence['_Pass'],
    feed: Mapping[Node, torch.Tensor] | None,
    *,
    rounds: bool,
) -> Iterator[Step]:
    """Yield the passes that change something, round by round until none does."""
    variables = {node for node in topological_sort(nodes) if node.op is placeholder}
    idle = 0
    for each in [*passes] * _ROUNDS:
        if idle == len(passes):
            return
        walked = each.run(nodes)
        idle += 1
        if not walked.applied and not walked.merged:
            continue
        idle = 0
        _check(each.name, nodes, walked.nodes, variables)
        if feed is not None:
            is_exact = not rounds or each.name not in {*_ROUNDING, 'loops'}
            bitwise = is_exact and all(by.exactness.kind == 'bitwise' for by in walked.made_by.values())
            compare(nodes, walked.nodes, feed, by=each.name, bitwise=bitwise)
        nodes = walked.nodes
        yield Step(each.name, nodes, walked.applied, walked.merged, walked.made_by)


class _Pass(NamedTuple):
    """A step of the pipeline."""

    name: str
    run: Callable[[Iterable[Node]], Walked]


def _passes(kinds: frozenset[str], families: Sequence[Family]) -> list[_Pass]:
    """Return the passes of a round; each merges equal nodes, so that patterns see them as one."""
    first = [family for family in families if family.name in _FIRST]
    rest = [family for family in families if family.name not in _FIRST]
    found = [_Pass('sharing', Walk({}, shares=True).run)]
    for together in (first, rest):
        table = joined(family.table(kinds) for family in together)
        if table:
            found.append(
                _Pass('+'.join(f.name for f in together if f.table(kinds)), Walk(table, shares=True).run)
            )
    # Any walk merges equal nodes; one for itself is needed where there is no other.
    found = [*(found[1:] or found), _Pass('folding', folded)]
    return [*found, *(_Pass(name, run) for name, run in _ROUNDING.items())] if 'rounding' in kinds else found


def _check(by: str, before: Sequence[Node], after: Sequence[Node], variables: AbstractSet[Node]) -> None:
    """Check what a pass made: the types of the outputs, and that it asks for no new input.

    That the graph has no cycle needs no check: a node never changes, and is made after its operands.
    """
    for old, new in zip(before, after, strict=True):
        if not compatible(old.type, new.type):
            msg = f"pass {by} put {new.type} in the place of {old.type}, node '{old}'\n{old.location}"
            raise RuleError(msg)
    for node in topological_sort(after):
        if node.op is placeholder and node not in variables:
            msg = f"pass {by} asks for a variable '{node}' that the graph did not have\n{node.location}"
            raise RuleError(msg)


def stabilize(nodes: Iterable[Node], *, keep: Iterable[Node] = ()) -> list[Node]:
    """Return nodes of the same values that do not overflow, underflow or cancel where they need not.

    The transforms do this before they differentiate. For graphs written with nodes, it is to be done before
    ``gradients``: the gradient is then that of the stable form.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.
    keep : iterable of Node
        Inner nodes that will be differentiated by. They stay, as aliases do, and nothing looks behind them.

    Returns
    -------
    list of Node
        In the order of ``nodes``, on the same variables.

    Notes
    -----
    Rewrites that hold for real numbers only are applied where the dtype is known.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', dtype=torch.float64)
    >>> y, = stabilize([ad.log(1 + ad.exp(x))])
    >>> y
    <Node softplus(x): float64[...]>
    >>> ad.Evaluator([y, *ad.gradients(y, [x])]).run({x: torch.tensor(1e4, dtype=torch.float64)})
    [tensor(10000., dtype=torch.float64), tensor(1., dtype=torch.float64)]
    """
    given = list(nodes)
    kept = set(keep)
    kept.update(node for node in topological_sort(given, behind=kept) if node.op is alias)
    done = _optimized(given, LEVELS['default'], (STABILIZE, COMPLEMENT), kept)
    # Equal nodes are merged to see more patterns, not for itself.
    return done.nodes if any(step.applied for step in done.steps) else given
