"""The executor for a GPU: it records the kernels of the plan once, and then starts all of them at once."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.executor import Executor, Program, Task
from adjoint.execute.plan import Plan
from adjoint.ops.creation import constant

__all__ = ['CudaGraph', 'CudaGraphProgram']

# Runs before the recording, in which libraries choose their kernels and make room to work in.
_WARM_UPS = 3


@dataclass(frozen=True)
class CudaGraph:
    """The executor that records the plan in a CUDA graph.

    Values are copied into tensors of the recording, and results are copied out of it, so that no run changes
    what an earlier one returned. What cannot be recorded, such as an op that looks at numbers, or that draws,
    leaves the graph to the plan.

    Parameters
    ----------
    recorded : Executor
        Whose kernels are recorded; by default the plan's.

    Raises
    ------
    TensorTypeError
        When it is to run: there is no CUDA device, or a value is not on it.
    """

    recorded: Executor = field(default_factory=Plan)

    @property
    def at_first_sight(self) -> bool:
        """As of the executor whose kernels are recorded."""
        return self.recorded.at_first_sight

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Write the plan, run it for the first time, and record it."""
        device = _device(task, values)
        program, results = self.recorded.prepare(task, values, sizes)
        for x in _held(task):
            if x.device != device:
                # The number that it has now would be part of the recording.
                return Unrecorded(program, f'a constant is on {x.device}'), results
        try:
            return CudaGraphProgram(program, values, device), results
        except Exception as error:  # noqa: BLE001 whatever cannot be recorded: the plan runs it
            _recovered(program, values)
            return Unrecorded(program, f'{type(error).__name__}: {error}'.splitlines()[0]), results


class CudaGraphProgram:
    """A program recorded in a CUDA graph.

    Parameters
    ----------
    program : Program
        What is recorded.
    values : sequence of torch.Tensor
        Of the signature.
    device : torch.device
        Where they are.
    """

    def __init__(self, program: Program, values: Sequence[torch.Tensor], device: torch.device) -> None:
        self._program = program
        self._device = device
        self._lock = Lock()
        with torch.no_grad(), torch.cuda.device(device):
            self._given = [x.detach().clone(memory_format=torch.preserve_format) for x in values]
            for own, x in zip(self._given, values, strict=True):
                if own.stride() != x.stride():
                    msg = 'a value has several entries in one place'
                    raise ValueError(msg)
            beside = torch.cuda.Stream(device)
            beside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(beside):
                for _ in range(_WARM_UPS):
                    program(self._given)
            torch.cuda.current_stream(device).wait_stream(beside)
            self._graph: Any = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile, without spoiling the recording.
            with torch.cuda.graph(self._graph, capture_error_mode='thread_local'):
                self._results = program(self._given)
            self._done = torch.cuda.Event()
            self._done.record()

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Copy the values in, start the graph, and copy the results out; nothing is recorded for autograd."""
        with self._lock, torch.no_grad(), torch.cuda.device(self._device):
            # One run after the other, whatever streams they are started from.
            self._done.wait()
            for own, value in zip(self._given, values, strict=True):
                own.copy_(value)
            self._graph.replay()
            results = [x.clone() for x in self._results]
            self._done.record()
        return results

    @property
    def source(self) -> str:
        """The program that is recorded."""
        return self._program.source

    @property
    def state(self) -> str:
        """What runs."""
        return f'cudagraph of {self._program.state}'


@dataclass(frozen=True)
class Unrecorded:
    """A program that could not be recorded.

    Parameters
    ----------
    program : Program
        What runs.
    why : str
        Why it is not recorded.
    """

    program: Program
    why: str

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run it as it is."""
        return self.program(values)

    @property
    def source(self) -> str:
        """The program."""
        return self.program.source

    @property
    def state(self) -> str:
        """What runs, and why nothing is recorded."""
        return f'{self.program.state} (not recorded: {self.why})'


def _device(task: Task, values: Sequence[torch.Tensor]) -> torch.device:
    """Return the device that all values are on.

    Raises
    ------
    TensorTypeError
        There is no CUDA device, or a value is elsewhere.
    """
    if not torch.cuda.is_available():
        msg = "no CUDA device: executor='cudagraph' runs on a GPU only; use 'plan', 'compiled' or 'auto' here"
        raise TensorTypeError(msg)
    first = next((x.device for x in values if x.is_cuda), torch.device('cuda', torch.cuda.current_device()))
    for node, value in zip(task.fed, values, strict=True):
        if value.device != first:
            msg = (
                f"the value given for '{node}' is on {value.device}, and executor='cudagraph' needs all "
                f'values on {first}: move it with value.to({str(first)!r})\n{node.location}'
            )
            raise TensorTypeError(msg)
    return first


def _recovered(program: Program, values: Sequence[torch.Tensor]) -> None:
    """Leave a recording that failed behind: what it left in the libraries fails a call after it."""
    with suppress(Exception), torch.no_grad():
        torch.cuda.synchronize()
        program(values)
        torch.cuda.synchronize()


def _held(task: Task) -> list[torch.Tensor]:
    """Return the tensors of constants that somebody may hold, and change."""
    found: list[Node] = topological_sort(task.outputs, behind=frozenset(task.fed))
    return [x.attrs['constant'] for x in found if x.op is constant and 'number' not in x.attrs]
