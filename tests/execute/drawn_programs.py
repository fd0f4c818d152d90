"""Programs drawn at random: lines of torch that run on tensors and, as graphs, on nodes.

A failing one is shrunk, and shown as the lines to type.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import adjoint as ad
from tests.execute.instructions import FLOW, KINDS, OF_USERS, Line, Pool
from tests.execute.user_ops import VOCABULARY

__all__ = ['REFUSALS', 'Drawn', 'Program', 'graphs', 'programs', 'some_graphs', 'values_like']

# What torch, and we, say of operands that do not go together.
REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
MOST_ENTRIES = 512
LARGEST = 1e4

_DTYPES = (
    torch.float64, torch.float64, torch.float32, torch.float64, torch.float32, torch.complex128, torch.int64,
    torch.bool, torch.complex64,
)  # fmt: skip
_LAYOUTS = ('plain', 'plain', 'transposed', 'every second', 'expanded', 'offset', 'the first', 'of the first')


@dataclass
class Program:
    """Lines that compute from values.

    Parameters
    ----------
    count
        How many values are given.
    lines
        Each with places for its operands, and which values these are: the given ones come first.
    """

    count: int
    lines: list[Line] = field(default_factory=list[Line])

    def __call__(self, given: Sequence[Any]) -> list[Any]:
        """Return all values: tensors of tensors, nodes of nodes."""
        values = list(given)
        for line in self.lines:
            values += run_line(line, values)
        return values

    def __str__(self) -> str:
        return '\n'.join(line.format(*(f'v[{i}]' for i in positions)) for line, positions in self.lines)


def run_line(line: Line, values: Sequence[Any]) -> list[Any]:
    """Return what one line makes."""
    text, positions = line
    names = {f'v{i}': values[i] for i in positions}
    written = text.format(*(f'v{i}' for i in positions))
    made = eval(written, {'torch': torch, **VOCABULARY, **names})  # noqa: S307 our own lines
    return list(made) if isinstance(made, tuple | list) else [made]


class Drawn:
    """A program as a graph, with values for its variables.

    Parameters
    ----------
    program
        What was drawn.
    nodes, tensors
        All of its values: as nodes, and as torch computes them.
    outputs
        What is to be computed: some of the nodes, often with gradients.

    Attributes
    ----------
    values
        For the variables, laid out in odd ways.
    """

    def __init__(
        self,
        program: Program,
        nodes: Sequence[ad.Node],
        tensors: Sequence[torch.Tensor],
        outputs: Sequence[ad.Node],
    ) -> None:
        self.program, self.nodes, self.tensors, self.outputs = program, nodes, tensors, outputs
        self.values = dict(zip(nodes[: program.count], tensors, strict=False))

    def __repr__(self) -> str:
        given = ', '.join(f'{v.dtype} {tuple(v.shape)}/{v.stride()}' for v in self.values.values())
        place = {id(node): i for i, node in enumerate(self.nodes)}
        outputs = ', '.join(f'v[{place[id(n)]}]' if id(n) in place else str(n) for n in self.outputs)
        return f'\nv = [{given}]\n{self.program}\nreturn {outputs}\n'


def values_like(
    draw: Any, shape: Sequence[int], dtype: torch.dtype, layout: str, *, special: bool
) -> torch.Tensor:
    """A value of a shape that is laid out in some way."""
    number = draw(st.integers(0, 1 << 16))
    generator = torch.Generator().manual_seed(number)
    stored = list(shape)
    if layout == 'transposed':
        stored.reverse()
    elif layout == 'every second' and stored:
        stored[-1] *= 2
    elif layout == 'expanded' and stored:
        stored[0] = 1
    elif layout == 'offset':
        stored.insert(0, 2)
    value = torch.randn(stored, generator=generator, dtype=torch.float64)
    # Numbers that meet one another, and the points where something jumps.
    value = torch.where(torch.rand(stored, generator=generator) < 0.3, value.round(), value)
    if special:
        odd = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e300, -1e-310], dtype=value.dtype)
        chosen = odd[torch.randint(len(odd), stored, generator=generator)]
        value = torch.where(torch.rand(stored, generator=generator) < 0.2, chosen, value)
    if dtype.is_complex:
        value = torch.complex(value, torch.randn(stored, generator=generator, dtype=torch.float64))
    value = (
        value > 0
        if dtype == torch.bool
        else value.nan_to_num().clamp(-4, 4)
        if dtype == torch.int64
        else value
    )
    value = value.to(dtype)
    if layout == 'transposed':
        return value.permute(tuple(range(len(stored)))[::-1])
    if layout == 'every second' and stored:
        return value[..., ::2]
    if layout == 'expanded' and stored:
        return value.expand(list(shape))
    return value[1] if layout == 'offset' else value


@st.composite
def inputs(draw: Any, dtypes: Sequence[torch.dtype], *, plain: bool, special: bool) -> list[torch.Tensor]:
    """Values to start from, some of which lie in one memory."""
    found: list[torch.Tensor] = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.lists(st.sampled_from((2, 3, 4, 1, 3, 2, 0)), max_size=3))
        layout = 'plain' if plain else draw(st.sampled_from(_LAYOUTS))
        if found and layout == 'the first':
            found.append(found[0])
        elif found and layout == 'of the first':
            found.append(found[0][..., :1] if found[0].ndim else found[0][None])
        else:
            found.append(values_like(draw, shape, draw(st.sampled_from(dtypes)), layout, special=special))
    return found


@st.composite
def programs(
    draw: Any,
    dtypes: Sequence[torch.dtype] = _DTYPES,
    *,
    most: int = 25,
    wild: bool = True,
    flow: bool = True,
    users: bool = True,
    plain: bool = False,
) -> Drawn:
    """A program with values for it, all of which are wanted.

    Parameters
    ----------
    dtypes
        Of what is given.
    most
        How many lines at most.
    wild
        Whether there may be infinities and nan, and numbers of any size.
    flow, users
        Whether there may be loops and choices, and ops of users.
    plain
        Whether all that is given is contiguous.
    """
    wild = wild and draw(st.booleans())
    given_values = draw(inputs(dtypes, plain=plain, special=wild))
    program = Program(len(given_values))
    values = list(given_values)
    nodes = [ad.Variable(f'x{i}', tuple(v.shape), v.dtype) for i, v in enumerate(values)]
    kinds = [*KINDS, *([OF_USERS] if users else []), *([FLOW] if flow else [])]
    for _ in range(draw(st.integers(1, most))):
        line = draw(st.sampled_from(kinds))(Pool(draw, values))
        made = attempt(line, values, nodes, wild=wild)
        if made is not None:
            program.lines.append(line)
            values += made[0]
            nodes += made[1]
    return Drawn(program, nodes, values, nodes)


def attempt(
    line: Line, values: Sequence[torch.Tensor], nodes: Sequence[ad.Node], *, wild: bool
) -> tuple[list[torch.Tensor], list[ad.Node]] | None:
    """Run a line on tensors and on nodes; nothing where either refuses, or the result is too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            tensors = run_line(line, values)
        made = [n if isinstance(n, ad.Node) else ad.constant(n) for n in run_line(line, nodes)]
    except REFUSALS:
        return None
    is_fine = all(isinstance(t, torch.Tensor) and t.numel() <= MOST_ENTRIES for t in tensors)
    if not is_fine or not (wild or all(is_tame(t) for t in tensors)):
        return None
    return tensors, made


def is_tame(value: torch.Tensor) -> bool:
    """Whether a value is made of numbers of moderate size."""
    return value.dtype == torch.bool or bool((value.isfinite() & (value.abs() < LARGEST)).all())


@st.composite
def graphs(draw: Any, *, gradients: bool = True, runs: bool = True, **options: Any) -> Drawn:
    """A graph to be computed, of which the reference computes a run.

    Parameters
    ----------
    gradients
        Whether gradients of a part of it may be wanted too.
    runs
        Whether the reference has to run it.
    **options
        Those of :func:`programs`.
    """
    drawn = draw(programs(**options))
    nodes = drawn.nodes
    last = st.integers(0, len(nodes) - 1).map(lambda i: len(nodes) - 1 - i)
    outputs = [nodes[-1], *(nodes[i] for i in draw(st.lists(last, max_size=3)))]
    if gradients and draw(st.booleans()):
        outputs += some_gradients(drawn, draw(last))
    if draw(st.integers(0, 4)) == 4:
        outputs.append(outputs[0])
    if runs:
        try:
            ad.Evaluator(outputs, executor='reference').run(drawn.values)
        except REFUSALS:
            outputs = [nodes[0]]
    return Drawn(drawn.program, nodes, drawn.tensors, outputs)


def some_gradients(drawn: Drawn, position: int) -> list[ad.Node]:
    """The gradients of a number that a value is made into, if it has some."""
    value = drawn.tensors[position]
    by = [x for x, v in drawn.values.items() if v.is_floating_point()]
    if not (value.is_floating_point() or value.is_complex()):
        return []
    try:
        return ad.gradients(ad.sum(ad.real(drawn.nodes[position]) * 1.0), by)
    except ad.AdjointError:
        return []


def some_graphs(count: int, first: int = 0, **options: Mapping[str, Any]) -> list[Drawn]:
    """As many graphs, the same ones for the same seed: for what takes several at once."""
    found: list[Drawn] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(first)
    @given(graphs(**options))
    def collect(graph: Drawn) -> None:
        found.append(graph)

    collect()
    return found
