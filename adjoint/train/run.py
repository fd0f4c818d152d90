"""Run folders: what a training run leaves behind, and what it continues from."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, final

from torch import Tensor

from adjoint.train import checkpoint, files
from adjoint.train.errors import RunError
from adjoint.train.records import EpochRecord

try:
    import fcntl as _fcntl
except ImportError:  # not on Windows
    _fcntl: ModuleType | None = None

CONFIG = 'config.json'
METRICS = 'metrics.jsonl'
CURVES = 'curves.png'
CONFUSION = 'confusion.png'
CHECKPOINT = 'checkpoint.safetensors'
ALL = (CONFIG, METRICS, CURVES, CONFUSION, CHECKPOINT)

ROOT = Path('runs')


@final
class RunFolder:
    """A folder that one run writes to; every file in it is whole at every moment.

    Parameters
    ----------
    path : Path
        The folder; it must exist.

    Raises
    ------
    RunError
        If another process writes to it now.

    Notes
    -----
    ``config.json`` comes first and never changes. The checkpoint alone decides how far a run is:
    it holds the metrics too, and ``metrics.jsonl`` is written anew from it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        files.remove_parts(path)

    def close(self) -> None:
        """Let other processes write to the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def checkpoint_path(self) -> Path:
        """The file of the checkpoint."""
        return self.path / CHECKPOINT

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write what the run is about."""
        files.write(self.path / CONFIG, _json(config, indent=2))

    def read_config(self) -> dict[str, Any]:
        """Read what the run is about.

        Raises
        ------
        RunError
            If it is missing or not JSON.
        """
        path = self.path / CONFIG
        try:
            content: Any = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(
                f'{self.path}: holds no run ({CONFIG} is missing); if one was stopped before it '
                f'began, start it again with --out {self.path}'
            ) from error
        except (OSError, ValueError) as error:
            raise RunError(f'{path}: cannot be read: {error}') from error
        if not isinstance(content, dict):
            raise RunError(f'{path}: cannot be read: it is not a JSON object')
        return content  # pyright: ignore[reportUnknownVariableType]  (JSON of anything)

    def write_metrics(self, history: Sequence[EpochRecord]) -> None:
        """Write the metrics of all epochs so far, one JSON object a line."""
        files.write(self.path / METRICS, b''.join(_json(record) for record in history))

    def write_picture(self, name: str, png: bytes) -> None:
        """Write a picture."""
        files.write(self.path / name, png)

    def save(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Write the checkpoint."""
        checkpoint.save(self.checkpoint_path, tensors, record)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the checkpoint; ``None`` where the run was stopped before its first one."""
        if not self.checkpoint_path.exists():
            return None
        return checkpoint.load(self.checkpoint_path)


def create(model: str, out: Path | None = None) -> RunFolder:
    """Make the folder of a new run.

    Parameters
    ----------
    model : str
        Part of the name.
    out : Path, optional
        The folder; ``runs/<date>-<time>-<model>`` when left out.

    Returns
    -------
    RunFolder
        An existing folder only if no run is in it.

    Raises
    ------
    RunError
        If it cannot be made or written to, or holds a run.
    """
    path = out or ROOT / f'{datetime.now().astimezone():%Y-%m-%d-%H%M%S}-{model}'
    try:
        if out is None:
            path = _make_new(path)
        path.mkdir(parents=True, exist_ok=True)
        trial = path / f'.trial{files.PART}'
        trial.write_bytes(b'')
        trial.unlink()
    except OSError as error:
        raise RunError(
            f'{path}: a run cannot be kept here: {error.strerror or error}; choose another folder with --out'
        ) from error
    if taken := [name for name in ALL if (path / name).exists()]:
        raise RunError(
            f'{path}: holds a run already ({", ".join(taken)}); continue it with --resume {path}, '
            'or choose another folder with --out'
        )
    return RunFolder(path)


def resume(path: Path | None = None) -> RunFolder:
    """Open the folder of a run that was stopped.

    Parameters
    ----------
    path : Path, optional
        The folder; the newest under ``runs`` when left out.

    Returns
    -------
    RunFolder
        The folder.

    Raises
    ------
    RunError
        If there is none.
    """
    if path is None:
        found = sorted(ROOT.glob(f'*/{CONFIG}'))
        if not found:
            raise RunError(f'{ROOT}: holds no run; name the folder: --resume FOLDER')
        path = found[-1].parent
    if not path.is_dir():
        raise RunError(f'{path}: no such folder')
    return RunFolder(path)


def _make_new(path: Path) -> Path:
    candidate, number = path, 1
    while True:
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
            candidate = path.with_name(f'{path.name}-{number}')
        else:
            return candidate


def _lock(path: Path) -> int | None:
    # The lock is on the folder itself, needs no file, and ends with the process however it ends.
    if _fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RunError(f'{path}: another process is training here now') from error
    except OSError:
        # Some network file systems know no locks.
        os.close(descriptor)
        return None
    return descriptor


def _json(value: Mapping[str, Any], indent: int | None = None) -> bytes:
    return (json.dumps(value, indent=indent) + '\n').encode()
