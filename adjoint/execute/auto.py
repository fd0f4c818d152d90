"""The executor that starts with the plan, and goes over to the compiled program where that is faster."""

import statistics
import time
from collections.abc import Mapping, Sequence
from threading import Event

import torch

from adjoint.core.order import topological_sort
from adjoint.execute.auto_background import Background
from adjoint.execute.compiled import Compiled
from adjoint.execute.compiled_program import CompiledProgram
from adjoint.execute.compiled_service import Service
from adjoint.execute.executor import Executor, Program, Task
from adjoint.execute.plan import Plan

__all__ = ['Auto', 'AutoProgram']

# The compiled program is taken if its time is less than this part of the plan's: a tie is no reason to change
# digits.
_FASTER = 0.95

# Runs of each that are measured: as many as fit into so many seconds, between these numbers.
_SECONDS, _FEWEST, _MOST = 1.0, 3, 100

# A larger graph is not traced beside the run: that would hold it up, and compiling would take hours.
_MOST_NODES = 10_000

_OURS = 'adjoint.'


class Auto:
    """The executor that chooses between two, by measuring both.

    The plan runs at once. Beside it, in another thread whose compiler is another process, the graph is
    compiled, on copies of the values at hand; then both programs are measured there in turn. If the compiled
    one is faster, runs that begin afterwards use it. Whatever goes wrong on that way, the plan goes on.

    A graph with an op of a user that is more than a function of its operands (``shareable``) stays with the
    plan, as its op would be run beside, too.

    Parameters
    ----------
    first : Executor, optional
        Runs at once; by default the plan.
    second : Executor, optional
        Runs if it is faster; by default the compiled executor, whose process stands back behind others.
    """

    def __init__(self, first: Executor | None = None, second: Executor | None = None) -> None:
        service = Service(nice=10)
        self._first = Plan() if first is None else first
        self._second = Compiled(service=service) if second is None else second
        self._background = Background(service.close)

    @property
    def at_first_sight(self) -> bool:
        """As of the executor that runs at once."""
        return self._first.at_first_sight

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Make the program that runs at once, and begin to make the other."""
        first, results = self._first.prepare(task, values, sizes)
        program = AutoProgram(first)
        if why := _excluded(task):
            program.stay(why)
            return program, results
        copies, threads = [_copy(value) for value in values], torch.get_num_threads()

        def job() -> None:
            # The number of threads is one of each thread.
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            program.settle(self._second, task, copies, sizes)
            copies.clear()

        self._background.do(job)
        return program, results


class AutoProgram:
    """A program, and another that may take its place.

    Parameters
    ----------
    first : Program
        Runs until another is known to be faster.
    """

    def __init__(self, first: Program) -> None:
        self._runs = first
        self._about = 'another is being compiled'
        self._settled = Event()

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run what is known to be the fastest."""
        return self._runs(values)

    def settle(
        self, executor: Executor, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> None:
        """Make the other program, measure both on these values, and take the faster; raises nothing."""
        try:
            other, _ = executor.prepare(task, values, sizes)
            if isinstance(other, CompiledProgram):
                now, then = _seconds([self._runs, other], values)
                if then < _FASTER * now:
                    self._runs = other
                self.stay(f'measured: plan {now * 1e6:.0f} us, compiled {then * 1e6:.0f} us')
            else:
                self.stay('nothing of it can be compiled')
        except Exception as error:  # noqa: BLE001 whatever it is, the plan goes on
            self.stay(f'{type(error).__name__}: {error}'.splitlines()[0])

    def stay(self, about: str) -> None:
        """Look no further, for this reason."""
        self._about = about
        self._settled.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is known which program runs; return whether it is."""
        return self._settled.wait(seconds)

    @property
    def source(self) -> str:
        """The program that runs now."""
        return self._runs.source

    @property
    def state(self) -> str:
        """What runs now, and why."""
        return f'{self._runs.state} ({self._about})'


def _excluded(task: Task) -> str:
    """Return why a graph is not compiled beside its run, if there is a reason."""
    given = frozenset(task.fed)
    nodes = [node for node in topological_sort(task.outputs, behind=given) if node not in given]
    for node in nodes:
        if not node.op.shareable and not type(node.op).__module__.startswith(_OURS):
            return f'the op {node.op.name} is more than a function of its operands'
    return f'{len(nodes)} nodes are too many to compile beside' if len(nodes) > _MOST_NODES else ''


def _copy(value: torch.Tensor) -> torch.Tensor:
    """Return a copy with the same strides."""
    if value.is_neg() or value.is_conj() or value.numel() == 0:
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device).copy_(
            value.detach()
        )
    # All that lies between its first place and its last, so that places which stand for several entries do.
    size = 1 + sum((n - 1) * step for n, step in zip(value.shape, value.stride(), strict=True))
    with torch.no_grad():
        flat = value.detach().as_strided((size,), (1,), value.storage_offset()).clone()
        return flat.as_strided(value.shape, value.stride())


def _seconds(programs: Sequence[Program], values: Sequence[torch.Tensor]) -> list[float]:
    """Return the median time of a run of each, measured in turn."""
    is_beside = any(value.is_cuda for value in values)
    times: list[list[float]] = [[] for _ in programs]
    end = time.perf_counter() + _SECONDS
    while len(times[0]) < _FEWEST or (len(times[0]) < _MOST and time.perf_counter() < end):
        for program, own in zip(programs, times, strict=True):
            start = time.perf_counter()
            program(values)
            if is_beside:
                torch.cuda.synchronize()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]
