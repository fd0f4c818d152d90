"""Tell a person how training goes: a live bar in a terminal, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self, final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from adjoint.train.state import State


class Report(ABC):
    """Is told of each update and each epoch."""

    @abstractmethod
    def updated(self, state: State, rate: float) -> None:
        """Take in the state after an update, and the rate of that update."""

    @abstractmethod
    def ended_epoch(self, state: State) -> None:
        """Take in the state after an epoch."""


@final
class Silent(Report):
    """Says nothing."""

    def updated(self, state: State, rate: float) -> None:
        """Say nothing."""

    def ended_epoch(self, state: State) -> None:
        """Say nothing."""


@final
class Lines(Report):
    """Prints a line an epoch, for logs and pipes.

    Parameters
    ----------
    console : Console
        Where to.
    epochs : int
        How many there are at most.
    """

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._epochs = epochs

    def updated(self, state: State, rate: float) -> None:
        """Say nothing."""

    def ended_epoch(self, state: State) -> None:
        """Print the record of the epoch."""
        self._console.print(epoch_line(state, self._epochs), highlight=False, soft_wrap=True)


@final
class Live(Report):
    """Shows a bar with loss, accuracy, rate, images a second and the time left.

    Parameters
    ----------
    console : Console
        A terminal.
    epochs : int
        How many there are at most; the time left is for all of them.
    batches : int
        Updates an epoch.
    done : int
        Updates made before, in the part of a run that is continued.

    Notes
    -----
    A context manager; the bar goes when the block ends, and the last epoch stays as a line.
    """

    def __init__(self, console: Console, epochs: int, batches: int, done: int = 0) -> None:
        self._console = console
        self._epochs = epochs
        self._last: State | None = None
        self._progress = Progress(
            TextColumn('epoch {task.fields[epoch]}'),
            BarColumn(bar_width=None),
            TextColumn('{task.fields[text]}'),
            # Without a width of its own it is the first to be cut in a narrow terminal.
            TimeRemainingColumn(compact=True, table_column=Column(min_width=5, no_wrap=True)),
            console=console,
            expand=True,
            transient=True,
        )
        self._task = self._progress.add_task(
            '', total=epochs * batches, completed=done, epoch=f'{done // batches}/{epochs}', text='starting'
        )
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if self._last is not None:
            self._console.print(epoch_line(self._last, self._epochs), highlight=False)

    def updated(self, state: State, rate: float) -> None:
        """Move the bar."""
        now = time.perf_counter()
        if now - self._shown < 0.05:  # noqa: PLR2004  (seconds; the eye sees no more)
            return
        self._shown = now
        parts = [
            f'loss {state.loss_sum / state.seen:.3f}',
            f'acc {100 * state.correct / state.seen:5.1f}%',
            f'rate {rate:.1e}',
            f'{short(state.seen / state.train_seconds)} img/s',
        ]
        if state.history:
            parts.insert(2, f'val {100 * state.history[-1]["validation_accuracy"]:5.1f}%')
        self._progress.update(
            self._task,
            completed=state.rule.step,
            epoch=f'{state.epoch + 1}/{self._epochs}',
            text=' '.join(parts),
        )

    def ended_epoch(self, state: State) -> None:
        """Remember the record of the epoch."""
        self._last = state


def epoch_line(state: State, epochs: int) -> str:
    """Return the last record of a state as a line."""
    record = state.history[-1]
    best = ' *' if state.best_epoch == record['epoch'] else ''
    return (
        f'epoch {record["epoch"]}/{epochs}  '
        f'train loss {record["train_loss"]:.4f} accuracy {100 * record["train_accuracy"]:.2f} %  '
        f'validation loss {record["validation_loss"]:.4f} '
        f'accuracy {100 * record["validation_accuracy"]:.2f} %  '
        f'rate {record["rate"]:.3g}  {short(record["samples_per_second"])} images/s{best}'
    )


def short(number: float) -> str:
    """Return a number in about four characters.

    Examples
    --------
    >>> short(812.4), short(12345.6), short(2.5e6)
    ('812', '12.3k', '2.5M')
    """
    if number < 1000:  # noqa: PLR2004  (the thousand of "k")
        return f'{number:.0f}'
    if number < 1e6:  # noqa: PLR2004  (the million of "M")
        return f'{number / 1e3:.1f}k'
    return f'{number / 1e6:.1f}M'
