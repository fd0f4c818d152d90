"""Write files so that a reader finds the old content or the new, never a part."""

import os
from pathlib import Path

from adjoint.train.errors import RunError

PART = '.part'


def write(path: Path, data: bytes) -> None:
    """Replace the content of a file at one stroke.

    Parameters
    ----------
    path : Path
        The file.
    data : bytes
        Its new content.

    Raises
    ------
    RunError
        If the file cannot be written; what was there before is still there.

    Notes
    -----
    The content goes to a file beside it, is flushed to the disk and then renamed. A process that
    is killed on the way leaves at most a file that ends in ``.part``, which nothing reads.
    """
    part = path.with_name(f'.{path.name}{PART}')
    try:
        with part.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(
            f'{path}: cannot be written: {error.strerror or error}; what was there before is kept'
        ) from error


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for part in folder.glob(f'.*{PART}'):
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # A rename is on the disk only once the folder is; systems without folders as files skip it.
    if os.name != 'posix':
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
