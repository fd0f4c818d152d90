"""A plan as a Python program: its text, its code, and what a failure in it says."""

import keyword
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

import torch

from adjoint.core.errors import AdjointError
from adjoint.core.node import Node
from adjoint.execute.executor import Task
from adjoint.execute.feed import circumstances
from adjoint.execute.internals import set_records
from adjoint.execute.reuse import Line
from adjoint.execute.steps import Steps

__all__ = ['PlannedProgram']

_GARBAGE = 0x5A


class _Names:
    """Names of what a program is made of, each once."""

    def __init__(self) -> None:
        self.bound: dict[str, object] = {}
        # What the text around the lines names.
        self._used = {'values', 'program', 'poison', 'carries', 'rows', 'constants', 'kept', '_'}
        self._counts: Counter[str] = Counter()
        self._of: dict[int, str] = {}
        self._numbers: dict[tuple[object, ...], str] = {}

    def new(self, wanted: str) -> str:
        """Return a name that is not used yet: the wanted one, or one like it."""
        first = wanted if wanted.isidentifier() else 'x'
        name = first if not keyword.iskeyword(first) else 'x'
        while name in self._used:
            self._counts[first] += 1
            name = f'{first}_{self._counts[first] + 1}'
        self._used.add(name)
        return name

    def expression(self, value: object, hint: str) -> str:
        """Return the text that stands for a value: itself where that can be written, else a name."""
        if value is None or value.__class__ in {bool, int, str} or _is_sizes(value):
            return repr(value)
        if isinstance(value, float) and value - value == 0:
            return repr(value)
        name = self._of.get(id(value))
        if name is None:
            name = self.new(_hint(value) or hint)
            self._of[id(value)] = name
            self.bound[name] = value
        return name

    def bind(self, value: object, hint: str) -> str:
        """Return the text for what a line of the program is bound to: one name for equal numbers."""
        if not isinstance(value, torch.Tensor) or value.ndim or value.is_meta:
            return self.expression(value, hint)
        key = value.dtype, value.device, repr(value.item())
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = self.expression(value, hint)
        return found


def _is_sizes(value: object) -> bool:
    return isinstance(value, tuple) and all(v.__class__ is int for v in value)  # pyright: ignore[reportUnknownVariableType] of anything


def _hint(value: object) -> str:
    if isinstance(value, torch.dtype):
        return str(value).removeprefix('torch.')
    if isinstance(value, torch.Tensor):
        return 'c'
    if isinstance(value, Node):
        return 'node'
    owner = getattr(value, '__self__', None)
    if getattr(owner, 'compute', None) is not None:
        return str(owner.name)  # pyright: ignore[reportOptionalMemberAccess] the op whose method it is
    return str(getattr(value, '__name__', '')).removesuffix('.default').replace('.', '_')


class PlannedProgram:
    """A straight-line program over torch kernels.

    Parameters
    ----------
    task : Task
        With types.
    plan : Steps
        The values.
    lines : list of Line
        The steps with their memory.
    poison : bool
        Whether memory that is free is filled with garbage.
    steady : bool
        Whether the results of every run are laid out as those of the last.
    """

    def __init__(
        self, task: Task, plan: Steps, lines: Sequence[Line], *, poison: bool, steady: bool = False
    ) -> None:
        self.steady = steady
        self._lines = lines
        self._poison = poison
        names = _Names()
        self._names: dict[Node, str] = {}
        for node, value in plan.held.items():
            self._names[node] = names.expression(value, 'c')
        used = {x for line in lines for x in (*line.step.uses, line.target)} | set(plan.outputs)
        for node in task.fed:
            self._names[node] = names.new(node.given_name or 'x') if node in used else '_'
        fed = [self._names[node] for node in task.fed]
        self._head = _unpacking(fed, 'values')
        # In a loop, what the next step is given has a name even if nothing uses it.
        self._slots = [names.new('unused') if name == '_' else name for name in fed]
        self._body = [self._statement(i, line, names) for i, line in enumerate(lines)]
        results = [self._names[node] for node in plan.outputs]
        for i in task.copied:
            results[i] += '.clone()'
        self._results = results
        self._tail = f'return [{", ".join(results)}]'
        self._bound = names.bound
        # Of each function that was made of the lines, at which line of its text they begin.
        self._codes: dict[CodeType, int] = {}
        self._loops: dict[tuple[int, int], FunctionType] = {}
        self._function = self._made(['def program(values):', f' {self._head}'], 1, f' {self._tail}')

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run the program; nothing is recorded for torch's autograd."""
        records = torch.is_grad_enabled()
        set_records(False)
        try:
            return self._function(values)
        except Exception as error:
            self._explain(error)
            raise
        finally:
            set_records(records)

    def repeat(
        self,
        carries: Sequence[torch.Tensor],
        rows: Sequence[Sequence[torch.Tensor]],
        constants: Sequence[Any],
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, ...]]]:
        """Run the program for one row of values after the other, with nothing looked up in between.

        Parameters
        ----------
        carries : sequence of torch.Tensor
            What the first run is given for the first inputs; the next one is given the first results.
        rows : sequence
            For each run the values of the inputs behind these.
        constants : sequence
            The values of the inputs behind these, in every run.

        Returns
        -------
        carries : list of torch.Tensor
            The first results of the last run.
        results : list of tuple
            The others of each run.
        """
        key = len(carries), len(self._slots) - len(constants)
        loop = self._loops.get(key)
        if loop is None:
            loop = self._loops[key] = self._looped(*key)
        records = torch.is_grad_enabled()
        set_records(False)
        try:
            return loop(carries, rows, constants)
        except Exception as error:
            self._explain(error)
            raise
        finally:
            set_records(records)

    def _looped(self, carries: int, before: int) -> FunctionType:
        """Return the lines in a loop."""
        slots, results = self._slots, self._results
        carried = ', '.join(slots[:carries])
        kept = ', '.join(results[carries:])
        return self._made(
            [
                'def program(carries, rows, constants):',
                f' {_unpacking(slots[:carries], "carries")}',
                f' {_unpacking(slots[before:], "constants")}',
                ' kept = []',
                f' for {_listed(slots[carries:before]) or "_"} in rows:',
            ],
            2,
            f'  kept.append(({kept},))' if kept else '  pass',
            f'  {carried} = {", ".join(results[:carries])}' if carries else '  pass',
            f' return [{carried}], kept',
        )

    def _made(self, head: Sequence[str], indent: int, *tail: str) -> FunctionType:
        """Return the lines as a function, between others."""
        text = '\n'.join([*head, *(' ' * indent + line for line in self._body), *tail])
        namespace: dict[str, Any] = {**self._bound, 'poison': _poisoned}
        exec(compile(text, '<adjoint program>', 'exec'), namespace)  # noqa: S102 made of the lines above
        function = namespace.pop('program')
        assert isinstance(function, FunctionType)  # noqa: S101 for the type checker
        self._codes[function.__code__] = len(head) + 1
        return function

    def _statement(self, i: int, line: Line, names: _Names) -> str:
        """Return one line of the program; gives its value a name."""
        step = line.step
        operands = [self._names.get(x, '_') for x in step.operands]
        bound = {key: names.bind(value, key) for key, value in step.written.bound.items()}
        if line.target is not None:
            bound['out'] = self._names[line.target]
        name = self._names[step.node] = names.new(f'v{i}')
        parts = [f'{name} = {line.text.format(*operands, **bound)}']
        dropped = line.dropped
        if self._poison and line.dead:
            parts.append(f'poison({", ".join(self._names[x] for x in line.dead)})')
        if dropped:
            parts.append(f'del {", ".join(self._names[x] for x in dropped)}')
        return '; '.join(parts)

    def _explain(self, error: Exception) -> None:
        """Add to a failure the node whose line failed."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code not in self._codes:
            trace = trace.tb_next
        position = -1 if trace is None else (trace.tb_lineno or 0) - self._codes[trace.tb_frame.f_code]
        if trace is None or isinstance(error, AdjointError) or not 0 <= position < len(self._lines):
            return
        step = self._lines[position].step
        scope: Mapping[str, Any] = {**self._bound, **trace.tb_frame.f_locals}
        # Where several ops are one kernel, its operands are not the inputs of the node.
        inputs = step.node.inputs
        known = inputs if len(inputs) == len(step.operands) else step.operands
        named = zip(known, (self._names.get(x) for x in step.operands), strict=True)
        error.add_note(circumstances(step.node, {x: scope[name] for x, name in named if name in scope}))

    @property
    def state(self) -> str:
        """What runs."""
        return f'plan: {len(self._lines)} lines'

    @property
    def statements(self) -> list[str]:
        """The program without its head and its end."""
        return [self._head, *self._body]

    @property
    def source(self) -> str:
        """The program, with the type of every value and the user's line that it comes from."""
        width = min(max((len(text) for text in self._body), default=0), 72)
        lines = ['def program(values):', f'    {self._head}']
        place = ''
        for text, line in zip(self._body, self._lines, strict=True):
            location = line.step.node.location
            here = f'{location.text}  ({location.short})' if location.text else location.short
            if here != place:
                lines.append(f'    # {here}')
                place = here
            lines.append(f'    {text:<{width}}  # {line.step.node.type or "?"}')
            inside: Iterable[str] = getattr(line.step.written.bound.get('blocks'), 'source', ())
            lines += [f'        {each}' for each in inside]
        lines.append(f'    {self._tail}')
        constants = [
            f'{name} = {value!r}'
            for name, value in self._bound.items()
            if isinstance(value, torch.Tensor) and value.numel() == 1
        ]
        return '\n'.join([*constants, *lines])


def _unpacking(names: Sequence[str], values: str) -> str:
    return f'{_listed(names)} = {values}' if names else 'pass'


def _listed(names: Sequence[str]) -> str:
    return f'({names[0]},)' if len(names) == 1 else ', '.join(names)


def _poisoned(*dead: torch.Tensor) -> None:
    """Fill memory that nobody should read any more."""
    for value in dead:
        if value.dtype.is_floating_point or value.dtype.is_complex:
            value.fill_(torch.nan)
        else:
            value.fill_(_GARBAGE)
