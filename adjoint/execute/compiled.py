"""The compiled executor: a graph given to Inductor as one program, and called without guards or wrappers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch.fx import GraphModule

from adjoint.core.errors import AdjointError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.compiled_check import difference, lies_as, shared_too_much
from adjoint.execute.compiled_division import Division, Part
from adjoint.execute.compiled_load import Call, Layout, loaded
from adjoint.execute.compiled_program import CompiledPart, CompiledProgram, Piece, plain
from adjoint.execute.compiled_service import CompilerError, Service
from adjoint.execute.compiled_steps import Loop, SteppedProgram, checked, does_little, loop_of
from adjoint.execute.compiled_store import Store
from adjoint.execute.compiled_trace import traced
from adjoint.execute.executor import Program, Task, with_copies
from adjoint.execute.internals import set_records
from adjoint.execute.plan import Plan
from adjoint.execute.reference import Schedule
from adjoint.execute.typed import typed
from adjoint.ops.body import Body
from adjoint.passes.pipeline import Level
from adjoint.passes.walk import with_bodies

__all__ = ['Compiled']


@dataclass(frozen=True)
class Compiled:
    """The executor that compiles.

    The graph is divided: what can be written as calls of ATen is, and compiled as one program where that is
    all of it. What cannot, such as a loop whose length depends on values, is kept, and runs as in the plan
    between the compiled parts. A part that the compiler refuses is kept too, and so is one whose results,
    on the values at hand, are not those of the reference but for rounding.

    Parameters
    ----------
    at_first_sight : bool
        Compile the first time that a signature is seen, and not the second.
    most_parts : int
        How many programs there are at most.
    fewest_nodes : int
        Fewer nodes than this are not worth a program.
    service : Service
        The process that compiles.
    store : Store
        Where compiled programs are kept.
    kept : Plan
        Runs what is not compiled.
    loop : Loop, optional
        How what is computed is computed again and again: it is the body of a loop. Where a step does little,
        it is compiled for whole sequences and the number of the step.
    """

    at_first_sight: bool = True
    most_parts: int = 8
    fewest_nodes: int = 3
    service: Service = field(default_factory=Service)
    store: Store = field(default_factory=Store)
    kept: Plan = field(default_factory=Plan)
    loop: Loop | None = None

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Compile what can be compiled; the first results are the reference's."""
        try:
            made = typed(task, values)
        except AdjointError:
            # What cannot be typed cannot be computed, and the run says so with the values in sight.
            schedule = Schedule(task, sizes)
            return schedule, schedule(values)
        if any(node.op.outputs > 1 for node in made.outputs):
            return self.kept.prepare(task, values, sizes)
        if self.loop is None:
            return self._prepare(task, made, values, sizes)
        try:
            step = self._step(made, values, self.loop)
            why = ''
        except Exception as error:  # noqa: BLE001 whatever it is: the body is run as others are
            step, why = None, str(error) if isinstance(error, CompilerError) else repr(error)
        if step is not None:
            one, results = self.kept.prepare_typed(made, values)
            return SteppedProgram(one, *step), results
        one, results = self._prepare(task, made, values, sizes)
        return SteppedProgram(one, text=why), results

    def _prepare(
        self, task: Task, made: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Compile what can be compiled of a task, given with types and without."""
        if self.store.is_empty:
            # A process will be needed, and takes seconds to start.
            self.service.start()
        division = Division(made, values, most=self.most_parts, fewest=self.fewest_nodes)
        pieces = [self._piece(part, division, made.level) for part in division.parts()]
        results = with_copies([division.values[node] for node in made.outputs], made.copied)
        if not any(piece.is_compiled for piece in pieces) and len(pieces) == 1 and not made.copied:
            (piece,) = pieces
            if piece.part.task.fed == made.fed and piece.part.task.outputs == made.outputs:
                return piece.program, results
        return CompiledProgram(task, sizes, made, division.held, pieces), results

    def _step(
        self, made: Task, values: Sequence[torch.Tensor], loop: Loop
    ) -> tuple[Call, list[torch.Tensor], str] | None:
        """Compile a step of a loop, given by its number; ``None`` where that is not worth it."""
        if not does_little(loop, made, values):
            return None
        before = loop.carries + loop.sequences
        # Sequences are laid out by their slices.
        slices = (x.contiguous() for x in values[loop.carries : before])
        inputs = [*values[: loop.carries], *slices, *values[before:]]
        division = Division(made, inputs, most=1, fewest=1)
        part = next(division.parts(), None)
        is_all = part is not None and {*made.outputs} <= {*part.task.outputs, *division.values}
        if part is None or not part.is_written or not is_all:
            msg = 'it cannot be written as calls of ATen'
            raise CompilerError(msg)
        task, held = Task(made.outputs, (*made.fed, *division.held)), list(division.held.values())
        module, layouts = self._traced(task, division)
        call = loaded(module, layouts, self.service, self.store, (loop.carries, loop.sequences, loop.steps))
        inputs = [plain(x) if x.is_neg() else x for x in [*inputs, *held]]
        checked(call, loop, inputs, Schedule(task, {}, is_restricted=True))
        return call, held, module.code.strip()

    def _piece(self, part: Part, division: Division, level: Level) -> Piece:
        """Run a part, and make its program."""
        inputs = [division.values[node] for node in part.task.fed]
        why = 'it cannot be written as calls of ATen'
        if part.is_written:
            results = Schedule(part.task, {}, is_restricted=True)(inputs)
            division.see(part, results)
            try:
                return self._compiled(part, division, inputs, results)
            except CompilerError as error:
                why = str(error)
        program, results = self.kept.prepare_typed(self._with_bodies(part.task, level), inputs)
        division.see(part, results)
        return Piece(part, program, why)

    def _with_bodies(self, task: Task, level: Level) -> Task:
        """Return a task whose ops that hold graphs have those compiled: the steps of a loop, for one."""
        given = frozenset(task.fed)
        made: dict[Node, Node] = {}
        for node in topological_sort(task.outputs, behind=given):
            if node in given:
                continue
            options = {'executor': replace(self, loop=loop_of(node))}
            # Bodies are rewritten at the level of what holds them where that changes digits.
            options |= {'optimize': level} if level == 'fast' else {}
            attrs = with_bodies(node.attrs, partial(Body.run_by, **options))
            inputs = [made.get(x, x) for x in node.inputs]
            if attrs is node.attrs and all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
                continue
            made[node] = Node.restored(inputs, node.op, dict(attrs), node.given_name, node.site, node.type)
        return Task(tuple(made.get(node, node) for node in task.outputs), task.fed)

    def _compiled(
        self,
        part: Part,
        division: Division,
        inputs: Sequence[torch.Tensor],
        results: Sequence[torch.Tensor],
    ) -> Piece:
        module, layouts = self._traced(part.task, division)
        call = loaded(module, layouts, self.service, self.store)
        records = torch.is_grad_enabled()
        set_records(False)
        try:
            found = call([plain(x) if x.is_neg() else x for x in inputs])
        except Exception as error:
            msg = f'it fails: {type(error).__name__}: {error}'
            raise CompilerError(msg) from error
        finally:
            set_records(records)
        for node, own, theirs in zip(part.task.outputs, found, results, strict=True):
            # What comes after relies on the layouts that were found without data.
            why = difference(own, theirs)
            if not why and not lies_as(own, division.stand_ins[node].stride()):
                why = f'strides {own.stride()}'
            if why:
                msg = f'it does not give what the reference gives for {node}: {why}'
                raise CompilerError(msg)
        copied = shared_too_much(inputs, found, results)
        return Piece(part, CompiledPart(call, layouts, copied, module.code), '')

    def _traced(self, task: Task, division: Division) -> tuple[GraphModule, list[Layout]]:
        """Return a task as calls of ATen, and the layouts of what it is given."""
        stand_ins = [division.stand_ins[node] for node in task.fed]
        layouts: list[Layout] = [(tuple(x.shape), x.stride(), x.dtype, x.device) for x in stand_ins]
        try:
            return traced(task, stand_ins, division.probe.mode), layouts
        except Exception as error:
            msg = f'{type(error).__name__}: {error}'
            raise CompilerError(msg) from error
