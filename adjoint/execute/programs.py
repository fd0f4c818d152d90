"""The programs of one set of nodes that are fed: one for each signature of the values."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.execute.executor import Executor, Program, Task
from adjoint.execute.feed import as_tensor, sizes_of
from adjoint.execute.recent import Recent
from adjoint.execute.reference import Reference, Schedule
from adjoint.execute.signature import Signature, signature_of

__all__ = ['Programs']

# How many signatures an evaluator remembers.
_LIMIT = 64

_REFERENCE = Reference()

_NO_BUDGET = (
    'a memory budget is kept for plain strided tensors, outside autocast, transforms of torch.func and modes '
    'that watch the calls: leave memory_budget out here'
)


class Programs:
    """Runs a task by the program of the values' signature.

    The first run with a signature is the reference's; the program is made when the signature comes again,
    so that what runs once, or with other sizes every time, is not held up.

    Parameters
    ----------
    task : Task
        What is computed from what.
    executor : Executor
        Makes the programs.
    """

    def __init__(self, task: Task, executor: Executor) -> None:
        self.task = task
        self._executor = executor
        # Rewrites that change digits are applied from the first run on, so that all runs agree; and a budget
        # holds for the first run too.
        is_special = task.level in {'default', 'fast'} or task.budget is not None
        self._at_first_sight = executor.at_first_sight or is_special
        self._programs: Recent[Program] = Recent(_LIMIT)
        self._sizes: Recent[Mapping[str, int]] = Recent(_LIMIT)

    def run(self, values: Sequence[Any]) -> list[torch.Tensor]:
        """Return the values of the outputs."""
        signature = signature_of(values)
        program = None if signature is None else self._programs.get(signature)
        return self._first(values, signature) if program is None else program(values)

    def step(self, values: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], Program | None]:
        """Return the values of the outputs, and what computes them from others that are laid out like these.

        That is ``None`` as long as there is no program, and where torch's autograd records the run.
        """
        if torch.is_grad_enabled():
            return self.record(values), None
        signature = signature_of(values)
        program = None if signature is None else self._programs.get(signature)
        return self._first(values, signature) if program is None else program(values), program

    def record(self, values: Sequence[Any]) -> list[torch.Tensor]:
        """Return the values of the outputs, computed by the reference, as torch's autograd records them."""
        tensors = [as_tensor(node, value) for node, value in zip(self.task.fed, values, strict=True)]
        return Schedule(self.task, sizes_of(self.task.fed, tensors)).run(tensors)

    def program(self, values: Sequence[Any]) -> Program:
        """Return the program of the signature of these values, made now if need be."""
        tensors = [as_tensor(node, value) for node, value in zip(self.task.fed, values, strict=True)]
        signature = signature_of(tensors)
        known = None if signature is None else self._programs.get(signature)
        return known or self._prepared(tensors, signature, sizes_of(self.task.fed, tensors))[0]

    def _first(self, values: Sequence[Any], signature: Signature | None) -> list[torch.Tensor]:
        if signature is None:
            values = [as_tensor(node, value) for node, value in zip(self.task.fed, values, strict=True)]
            signature = signature_of(values)
            program = None if signature is None else self._programs.get(signature)
            if program is not None:
                return program(values)
        sizes = None if signature is None else self._sizes.get(signature)
        if sizes is None:
            sizes = sizes_of(self.task.fed, values)
            if signature is not None and not self._at_first_sight:
                self._sizes.put(signature, sizes)
                signature = None
        return self._prepared(values, signature, sizes)[1]

    def _prepared(
        self, values: Sequence[torch.Tensor], signature: Signature | None, sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Return a program and its first results; the reference's where there is no signature."""
        if signature is None:
            if self.task.budget is not None:
                raise UnsupportedOpError(_NO_BUDGET)
            return _REFERENCE.prepare(self.task, values, sizes)
        program, results = self._executor.prepare(self.task, values, sizes)
        return self._programs.put(signature, program), results
