"""``adjoint train``: train a model on images and leave a run folder."""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, final

import click
import torch
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table
from torch import Tensor

from adjoint.core.errors import AdjointError
from adjoint.train import data, report, run, session
from adjoint.train.config import (
    DECAY,
    DTYPES,
    EPOCHS,
    FOLDER_EPOCHS,
    RULES,
    SCHEDULES,
    THREADS,
    WARMUP,
    Config,
)
from adjoint.train.errors import RunError, SettingError
from adjoint.train.models import MODELS
from adjoint.train.state import State
from adjoint.verify import numeric

NEWEST = '(newest)'
OURS = ('out', 'resume')
INTERRUPTED = 128
"""Added to the number of the signal, as shells do."""


def _option(name: str, kind: type = str, text: str = '', default: str | None = None) -> Any:
    """Return an option whose default is that of the settings, unless it depends on others."""
    if default is None:
        value = getattr(Config, name.removeprefix('--').replace('-', '_'))
        default = 'none' if value is None else f'{value:g}' if kind is not str else value
    metavar = 'NAME' if kind is str else None
    return click.option(name, type=kind, metavar=metavar, help=f'{text}  [default: {default}]')


def _by(values: Mapping[str, float]) -> str:
    return ', '.join(f'{name} {value:g}' for name, value in values.items())


@click.command()
@_option('--model', text=f'{", ".join(MODELS)}.')
@click.option(
    '--data',
    metavar='DIGITS|FOLDER',
    help='"digits" for the handwritten digits of scikit-learn, or a folder with MNIST-format '
    f'IDX files, plain or .gz.  [default: {Config.data}]',
)
@_option(
    '--epochs',
    int,
    'Passes over the training images, at most.',
    f'{_by(EPOCHS)}; {FOLDER_EPOCHS} for a folder',
)
@_option('--batch-size', int, 'Images an update.')
@_option('--rule', text=f'Update rule: {", ".join(RULES)}.')
@_option('--rate', float, 'Learning rate.', _by(RULES))
@_option('--schedule', text=f'How the rate goes on: {", ".join(SCHEDULES)}.')
@_option('--warmup', float, 'Epochs in which the rate first rises.', f'{WARMUP:g}')
@_option('--weight-decay', float, 'Pulls weights towards zero.', f'adamw: {_by(DECAY)}; others 0')
@_option('--clip-norm', float, 'Bound on the norm of all gradients together.')
@_option('--clip-value', float, 'Bound on each entry of the gradients.')
@_option('--patience', int, 'Stop after so many epochs without a lower validation loss; 0: never.')
@_option('--min-delta', float, 'By how much the validation loss must fall to count.')
@_option('--seed', int, 'Seed of the initial weights and of the order of the images.')
@_option('--threads', int, 'Threads of torch.', str(THREADS))
@_option('--dtype', text=f'{", ".join(DTYPES)}.')
@_option('--checkpoint-every', int, 'Updates between two checkpoints within an epoch.')
@click.option(
    '--out',
    type=click.Path(path_type=Path),
    metavar='FOLDER',
    help='Run folder.  [default: runs/<time>-<model>]',
)
@click.option(
    '--resume',
    metavar='[FOLDER]',
    is_flag=False,
    flag_value=NEWEST,
    help='Continue a run that was stopped; without a folder the newest one under runs.',
)
@click.pass_context
def train(context: click.Context, out: Path | None, resume: str | None, **settings: Any) -> None:
    """Train a model on images, with our gradients, and leave a run folder.

    First the gradient of the loss is checked against numeric differentiation. Ctrl-C stops the run
    and loses nothing; --resume continues it.
    """
    console = Console(highlight=False)
    given = {
        name: value
        for name, value in settings.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if given.get('data', data.DIGITS) != data.DIGITS:
        # A run can be continued from any folder.
        given['data'] = str(Path(given['data']).resolve())
    try:
        code = _train(console, given, out, resume)
    except SettingError as error:
        option = '--' + error.setting.replace('_', '-')
        raise click.UsageError(f'{option}: {error.problem}', context) from error
    except (AdjointError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        console.print('\nInterrupted. What the last checkpoint holds is kept.')
        code = INTERRUPTED + signal.SIGINT
    context.exit(code)


def _train(console: Console, given: dict[str, Any], out: Path | None, resume: str | None) -> int:
    if resume is None:
        config = Config.of(**given)
        torch.set_num_threads(config.threads)
        opened = session.begin(config, out)
        with closing(opened.folder):
            return _run(console, opened, resumed=False)
    if out is not None:
        raise SettingError('out', 'a run continues in its own folder; leave the option out')
    with closing(run.resume(None if resume == NEWEST else Path(resume))) as folder:
        config = session.read_config(folder.read_config(), folder.path)
        torch.set_num_threads(config.threads)
        return _run(console, session.resume(folder, given), resumed=True)


def _run(console: Console, opened: session.Session, *, resumed: bool) -> int:
    _introduce(console, opened)
    state = opened.state
    if state.result is not None:
        console.print('This run is finished already; there is nothing to continue.\n')
        console.print(_summary(opened, state))
        return 0
    if resumed:
        console.print(f'Continuing {_place(opened, state)}.')
    checks = opened.check(_directional)
    errors = ', '.join(f'{found.error:.1e}' for found in checks)
    console.print(
        f'Gradient of the loss against central differences along {len(checks)} random directions: '
        f'relative error {errors}.'
    )
    job = opened.job
    epochs = job.config.epochs
    bar: report.Live | None = None
    if console.is_terminal:
        bar = report.Live(console, epochs, job.batches, state.rule.step)
    with Signals() as signals, bar or nullcontext():
        state = opened.train(bar or report.Lines(console, epochs), signals.received)
    if state.result is None:
        console.print(
            f'\nStopped {_place(opened, state)}. Nothing is lost; continue with\n\n'
            f'  adjoint train --resume {opened.folder.path}\n',
            soft_wrap=True,
        )
        return INTERRUPTED + (signals.number or signal.SIGINT)
    console.print(f'Ended: {state.result["reason"]}.\n')
    console.print(_summary(opened, state))
    return 0


@final
class Signals:
    """Takes in the signals to end, so that a run ends where nothing is lost.

    Notes
    -----
    A context manager. The first signal is noted; a second one raises ``KeyboardInterrupt`` at once.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def received(self) -> bool:
        """Say whether a signal came."""
        return self.number is not None

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number


def _directional(
    function: Callable[[Sequence[Tensor]], Tensor],
    point: Sequence[Tensor],
    direction: Sequence[Tensor],
) -> float:
    return float(numeric.directional(function, list(point), list(direction), method='central'))


def _introduce(console: Console, opened: session.Session) -> None:
    job = opened.job
    images = job.data
    weights = sum(tensor.numel() for tensor in opened.state.parameters.values())
    console.print(
        f'{job.config.model} with {weights:,} parameters on {images.name}: '
        f'{len(images.train):,} images to train with, {len(images.validation):,} to validate, '
        f'{len(images.test):,} to test.'
    )
    console.print(f'Run folder: {opened.folder.path}', soft_wrap=True)
    for note in opened.notes:
        console.print(f'Note: {note}.')


def _place(opened: session.Session, state: State) -> str:
    if state.batch:
        return f'in epoch {state.epoch + 1}, after {state.batch} of {opened.job.batches} updates'
    return f'after epoch {state.epoch}' if state.epoch else 'before the first update'


def _summary(opened: session.Session, state: State) -> Table:
    if state.result is None:
        raise RunError('the run is not finished')
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style='bold', no_wrap=True)
    table.add_column(overflow='fold')
    folder = opened.folder.path
    table.add_row('test accuracy', f'[bold]{100 * state.result["test_accuracy"]:.2f} %[/bold]')
    table.add_row('test loss', f'{state.result["test_loss"]:.4f}')
    table.add_row('weights', f'of epoch {state.result["best_epoch"]}, the lowest validation loss')
    table.add_row('time', f'{state.seconds:.1f} s in {state.epoch} epochs')
    for what, name in (
        ('checkpoint', run.CHECKPOINT),
        ('metrics', run.METRICS),
        ('settings', run.CONFIG),
        ('curves', run.CURVES),
        ('confusion matrix', run.CONFUSION),
    ):
        table.add_row(what, str(folder / name))
    return table
