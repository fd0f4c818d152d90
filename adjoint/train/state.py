"""Everything that a training run needs to continue, and how a checkpoint keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from adjoint.train import schedules, stopping
from adjoint.train.errors import RunError
from adjoint.train.records import EpochRecord, Result
from adjoint.transform.train_step import RuleState

FORMAT = 1


@final
@dataclass(frozen=True, eq=False)
class State:
    """A training run at one moment, between two updates.

    Parameters
    ----------
    parameters, best : Mapping[str, Tensor]
        The parameters now, and those of the epoch with the lowest validation loss.
    rule : RuleState
        What the update rule remembers, with the number of updates made.
    schedule, stopping : Mapping
        What the schedule and early stopping remember.
    history : tuple[EpochRecord, ...]
        One record a finished epoch.
    batch : int
        Updates made in the current epoch.
    loss_sum, correct, seen : float, int, int
        Sums over the images of the current epoch.
    train_seconds, seconds : float
        Time spent on updates in this epoch, and on all since the start.
    result : Result, optional
        What the run came to, once it is finished.
    """

    parameters: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    rule: RuleState
    schedule: schedules.State
    stopping: stopping.State
    history: tuple[EpochRecord, ...] = ()
    batch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    train_seconds: float = 0.0
    seconds: float = 0.0
    result: Result | None = None

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept; 0 before the first ends."""
        return self.epoch - int(self.stopping['bad'] or 0)


_COUNTS = ('batch', 'loss_sum', 'correct', 'seen', 'train_seconds', 'seconds', 'result')


def to_checkpoint(state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the record that a checkpoint keeps of a state."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in state.parameters.items():
        tensors[f'parameter/{name}'] = parameter
        tensors[f'best/{name}'] = state.best[name]
        for slot, value in state.rule.slots[name].items():
            tensors[f'slot/{slot}/{name}'] = value
    record: dict[str, Any] = {
        'format': FORMAT,
        'step': state.rule.step,
        'schedule': dict(state.schedule),
        'stopping': dict(state.stopping),
        'history': list(state.history),
        **{name: getattr(state, name) for name in _COUNTS},
    }
    return tensors, record


def from_checkpoint(tensors: Mapping[str, Tensor], record: Mapping[str, Any], fresh: State) -> State:
    """Return the state that a checkpoint keeps.

    Parameters
    ----------
    tensors, record : Mapping
        What `to_checkpoint` gave.
    fresh : State
        A state at the start of the same run, for names and shapes.

    Returns
    -------
    State
        The state.

    Raises
    ------
    RunError
        If the checkpoint is of another format or another model.
    """
    if record.get('format') != FORMAT:
        raise RunError(
            f'the checkpoint has format {record.get("format")!r}, this version of adjoint reads '
            f'format {FORMAT}'
        )
    wanted, _ = to_checkpoint(fresh)
    shapes = [{name: (t.shape, t.dtype) for name, t in part.items()} for part in (tensors, wanted)]
    if shapes[0] != shapes[1]:
        odd = sorted(
            name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)
        )
        raise RunError(
            f'the checkpoint does not fit the model of this run: {odd[0]} and '
            f'{len(odd) - 1} more tensors are missing or have another shape or dtype'
        )
    names = list(fresh.parameters)
    slots = {
        name: {slot: tensors[f'slot/{slot}/{name}'] for slot in fresh.rule.slots[name]} for name in names
    }
    return State(
        parameters={name: tensors[f'parameter/{name}'] for name in names},
        best={name: tensors[f'best/{name}'] for name in names},
        rule=RuleState(record['step'], slots),
        schedule=record['schedule'],
        stopping=record['stopping'],
        history=tuple(record['history']),
        **{name: record[name] for name in _COUNTS},
    )
