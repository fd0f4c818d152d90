"""A training run from settings to pictures: begin one, or continue one that was stopped."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from adjoint.train import check, data, loop, plots, run
from adjoint.train.config import Config
from adjoint.train.errors import RunError, SettingError
from adjoint.train.extras import require
from adjoint.train.report import Report
from adjoint.train.state import State, from_checkpoint, to_checkpoint

NEEDED = ('safetensors', 'matplotlib')
"""What a run needs at its end: asked for before it begins."""


@final
@dataclass(frozen=True, eq=False)
class Session:
    """A run with its folder open.

    Parameters
    ----------
    folder : RunFolder
        Where everything goes.
    job : Job
        What is trained.
    state : State
        Where it begins.
    notes : tuple[str, ...]
        What a person should know before it goes on.
    """

    folder: run.RunFolder
    job: loop.Job
    state: State
    notes: tuple[str, ...] = ()

    def check(self, directional: check.Directional) -> list[check.DirectionCheck]:
        """Check the gradient of the loss along random directions.

        Parameters
        ----------
        directional : Directional
            Finds a directional derivative without our gradients.

        Returns
        -------
        list[DirectionCheck]
            One a direction.

        Raises
        ------
        RunError
            If an error is large: training with such a gradient would go astray.
        """
        checks = check.check_gradient(
            self.job.model,
            self.job.data.train,
            self.state.parameters,
            directional,
            seed=self.job.config.seed,
        )
        worst = max(checks, key=lambda found: found.error)
        if not worst.error <= check.LIMIT:
            raise RunError(
                f'the gradient of the loss is wrong: along a random direction it gives '
                f'{worst.automatic:.12g}, numeric differentiation {worst.numeric:.12g} (relative '
                f'error {worst.error:.1e}, allowed {check.LIMIT:.0e}); nothing was trained'
            )
        return checks

    def train(self, report: Report, stop: loop.Stop) -> State:
        """Train, and leave checkpoint, metrics and pictures.

        Parameters
        ----------
        report : Report
            Told of each update and each epoch.
        stop : Stop
            Asked after each update.

        Returns
        -------
        State
            With its result, unless told to stop.

        Raises
        ------
        RunError
            If the loss diverges or a file cannot be written.
        """
        self.folder.write_metrics(self.state.history)
        state = loop.train(self.job, self.state, self._save, report, stop)
        if state.history:
            title = f'{self.job.config.model} on {self.job.data.name}'
            self.folder.write_picture(run.CURVES, plots.curves(state.history, title))
        if state.result is not None:
            self.folder.write_picture(run.CONFUSION, self._confusion(state))
            # The result comes last: a run that has one has everything else too.
            self._save(state)
        return state

    def _save(self, state: State) -> None:
        self.folder.save(*to_checkpoint(state))
        if state.batch == 0:
            self.folder.write_metrics(state.history)

    def _confusion(self, state: State) -> bytes:
        test = self.job.data.test
        predictions = loop.predict(self.job, state.best, test)
        matrix: Tensor = plots.confusion_matrix(test.labels, predictions, self.job.data.classes)
        right = int(matrix.trace())
        title = f'{self.job.config.model}: {right} of {len(test)} test images right'
        return plots.confusion(matrix, title)


def begin(config: Config, out: Path | None = None) -> Session:
    """Begin a new run.

    Parameters
    ----------
    config : Config
        The settings.
    out : Path, optional
        The folder; ``runs/<date>-<time>-<model>`` when left out.

    Returns
    -------
    Session
        With its settings written.

    Raises
    ------
    DataError
        If the images cannot be loaded.
    RunError
        If the folder cannot be used.
    """
    require(*NEEDED)
    images = data.load(config.data)
    job = loop.prepare(config, images)
    folder = run.create(config.model, out)
    content = {
        'config': config.to_json(),
        'data': {
            'name': images.name,
            'digest': images.digest(),
            'size': images.size,
            'classes': images.classes,
            'train': len(images.train),
            'validation': len(images.validation),
            'test': len(images.test),
        },
        'versions': _versions(),
        'started': datetime.now().astimezone().isoformat(timespec='seconds'),
    }
    try:
        folder.write_config(content)
    except RunError:
        folder.close()
        raise
    return Session(folder, job, job.start())


def resume(folder: run.RunFolder, given: Mapping[str, Any]) -> Session:
    """Continue a run that was stopped.

    Parameters
    ----------
    folder : RunFolder
        Its folder.
    given : Mapping[str, Any]
        Settings that are asked for again; they must be those of the run.

    Returns
    -------
    Session
        At its checkpoint, or at the start where there is none yet.

    Raises
    ------
    SettingError
        If a setting that is asked for differs from that of the run.
    DataError
        If the images cannot be loaded.
    RunError
        If the folder holds no run or a corrupt one, or the images are others.
    """
    require(*NEEDED)
    content = folder.read_config()
    config = read_config(content, folder.path)
    _compare(config, given)
    images = data.load(config.data)
    if images.digest() != content['data']['digest']:
        raise RunError(
            f'{config.data}: these are not the images that the run began with; '
            'put them back, or start a new run'
        )
    job = loop.prepare(config, images)
    state = job.start()
    notes = [
        f'{name} was {then} when the run began and is {now} now: the weights may differ in rounding'
        for name, (then, now) in _changes(content.get('versions', {})).items()
    ]
    saved = folder.load()
    if saved is not None:
        state = from_checkpoint(*saved, state)
    return Session(folder, job, state, tuple(notes))


def read_config(content: Mapping[str, Any], path: Path) -> Config:
    """Return the settings that the content of a ``config.json`` holds.

    Raises
    ------
    RunError
        If it is not what a run writes.
    """
    try:
        content['data']['digest']
        return Config.from_json(content['config'])
    except (KeyError, TypeError) as error:
        raise RunError(f'{path / run.CONFIG}: is not what a run writes: {error!r}') from error
    except RunError as error:
        raise RunError(f'{path / run.CONFIG}: {error}') from error


def _compare(config: Config, given: Mapping[str, Any]) -> None:
    mine = config.to_json()
    for name, value in given.items():
        if mine[name] != value:
            raise SettingError(
                name,
                f'the run has {mine[name]}, you gave {value}; a run continues as it began. '
                'Leave the option out, or start a new run',
            )


def _versions() -> dict[str, str]:
    try:
        ours = metadata.version('adjoint')
    except metadata.PackageNotFoundError:
        ours = 'not installed'
    return {'adjoint': ours, 'torch': str(torch.__version__), 'python': platform.python_version()}


def _changes(then: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    now = _versions()
    return {name: (then[name], now[name]) for name in now if then.get(name, now[name]) != now[name]}
