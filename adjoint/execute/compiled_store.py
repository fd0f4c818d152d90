"""What was compiled, on disk: for the next process, and from one process to another."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ['Store', 'default_folder']

_SUMS = 'sums.json'


def default_folder() -> Path:
    """Return where compiled programs are kept: ``ADJOINT_CACHE_DIR``, or the user's folder for caches."""
    named = os.environ.get('ADJOINT_CACHE_DIR')
    if named:
        return Path(named) / 'compiled'
    caches = os.environ.get('XDG_CACHE_HOME')
    return (Path(caches) if caches else Path.home() / '.cache') / 'adjoint' / 'compiled'


class Store:
    """Folders of files by key, each whole or not there.

    Parameters
    ----------
    root : Path, optional
        Where they are; by default :func:`default_folder`, asked at each use.
    limit : int
        How many are kept; those used least lately go.
    """

    def __init__(self, root: Path | None = None, limit: int = 1000) -> None:
        self._root = root
        self._limit = limit

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept yet."""
        try:
            return next(self._home().iterdir(), None) is None
        except OSError:
            return True

    def get(self, key: str) -> Path | None:
        """Return the folder of a key, or ``None``; one that is not as it was written is removed."""
        folder = self._folder(key)
        try:
            sums: dict[str, str] = json.loads((folder / _SUMS).read_text(encoding='utf-8'))
            is_whole = all(_sum(folder / name) == wanted for name, wanted in sums.items())
        except (OSError, ValueError, AttributeError):
            is_whole = False
        if is_whole:
            with contextlib.suppress(OSError):
                os.utime(folder)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def keep(self, key: str, made: Path) -> Path | None:
        """Copy a folder of files under a key; ``None`` where that cannot be.

        It is written aside first, then renamed, so that nobody sees a part of it. Another process may be
        faster.

        Parameters
        ----------
        key : str
            Of letters and digits.
        made : Path
            The files.
        """
        folder = self._folder(key)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(
                prefix='.part-', dir=folder.parent, ignore_cleanup_errors=True
            ) as aside:
                part = Path(aside) / key
                shutil.copytree(made, part)
                sums = {path.name: _sum(path) for path in sorted(part.iterdir())}
                (part / _SUMS).write_text(json.dumps(sums), encoding='utf-8')
                with contextlib.suppress(OSError):
                    part.rename(folder)
            self._prune(folder)
        except OSError:
            return None
        return self.get(key)

    def _home(self) -> Path:
        return default_folder() if self._root is None else self._root

    def _folder(self, key: str) -> Path:
        return self._home() / key

    def _prune(self, newest: Path) -> None:
        """Remove the folders used least lately, beyond as many as are kept."""
        ages: list[tuple[float, Path]] = []
        for path in newest.parent.iterdir():
            with contextlib.suppress(OSError):
                ages.append((path.stat().st_mtime, path))
        ages.sort(reverse=True)
        for _, path in ages[self._limit :]:
            if path != newest:
                shutil.rmtree(path, ignore_errors=True)


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
