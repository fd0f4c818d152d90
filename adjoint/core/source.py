"""Where a node was made: recorded cheaply as it is built, rendered only when somebody reads it."""

import linecache
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import TypeAlias

import torch

__all__ = ['Location', 'Site', 'add_calling_line', 'calling_site', 'located_at', 'location_of']

_PACKAGE = str(Path(__file__).resolve().parent.parent)

# Frames of these folders are not the user's. The rooms `train` and `cli` write models as a user would.
_INSIDE = (
    *(
        os.path.join(_PACKAGE, room) + os.sep  # noqa: PTH118 same
        for room in (
            'autodiff', 'core', 'execute', 'flow', 'interop', 'ops', 'passes', 'transform', 'verify', 'view',
        )
    ),
    os.path.dirname(torch.__file__) + os.sep,  # noqa: PTH120 same
    '<frozen',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source.

    Parameters
    ----------
    file, line, function
        Where the node was made.
    text
        The source line without indentation; empty where the source cannot be read.
    start, end
        Columns of the expression in ``text``, or ``None`` where they are not known.
    module
        The path of the module of an imported program, such as ``encoder.layers.0``.
    """

    file: str
    line: int
    function: str
    text: str = ''
    start: int | None = None
    end: int | None = None
    module: str = ''

    def __str__(self) -> str:
        """Render like a traceback entry, with carets under the expression."""
        within = f', module {self.module}' if self.module else ''
        lines = [f'  File "{self.file}", line {self.line}, in {self.function}{within}']
        if self.text:
            lines.append(f'    {self.text}')
            if self.start is not None and self.end is not None:
                lines.append('    ' + ' ' * self.start + '^' * max(1, self.end - self.start))
        return '\n'.join(lines)

    @property
    def short(self) -> str:
        """``file.py:12``."""
        return f'{os.path.basename(self.file)}:{self.line}'  # noqa: PTH119 also for '<stdin>'


# A code object with the offset of its running instruction. One that went through a pickle, or whose source
# is no Python, is a location with an offset that means nothing.
Site: TypeAlias = tuple[CodeType | Location, int]

_ambient: ContextVar[Site | None] = ContextVar('adjoint_site', default=None)


def calling_site() -> Site:
    """Return the ambient site if one is set, else that of the innermost frame of the user."""
    ambient = _ambient.get()
    if ambient is not None:
        return ambient
    frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] the documented way to a frame
    outer = frame
    while outer is not None:
        frame = outer
        name = frame.f_code.co_filename
        # Torch wraps what it records in a function that it makes of a string, outside of any module.
        is_made = name == '<string>' and '__name__' not in frame.f_globals
        if not (is_made or name.startswith(_INSIDE)):
            break
        outer = frame.f_back
    return frame.f_code, frame.f_lasti


@contextmanager
def located_at(location: Location) -> Generator[None]:
    """Give every node that is built inside the block this location."""
    token = _ambient.set((location, -1))
    try:
        yield
    finally:
        _ambient.reset(token)


def enter_site(site: Site) -> None:
    """Set the ambient site without a block; the caller restores it with :func:`leave_sites`."""
    _ambient.set(site)


def leave_sites(site: Site | None) -> None:
    """Restore what :func:`ambient_site` gave before."""
    _ambient.set(site)


def ambient_site() -> Site | None:
    """Return the ambient site, or ``None`` where nodes look for the user's frame."""
    return _ambient.get()


def location_of(site: Site) -> Location:
    """Render a site: file, line, function, the text of the line and its columns."""
    code, last = site
    if isinstance(code, Location):
        return code
    line, end_line, start, end = next(islice(code.co_positions(), last // 2, None), (None,) * 4)
    if line is None:
        line, start, end = code.co_firstlineno, None, None
    raw = linecache.getline(code.co_filename, line)
    text = raw.strip()
    indent = len(raw) - len(raw.lstrip())
    if start is not None and end is not None and end_line == line and text:
        # Columns count UTF-8 bytes.
        encoded = raw.encode()
        start = len(encoded[:start].decode(errors='ignore')) - indent
        end = len(encoded[:end].decode(errors='ignore')) - indent
    else:
        start = end = None
    return Location(code.co_filename, line, code.co_name, text, start, end)


def add_calling_line(error: Exception) -> None:
    """Put the user's line at the end of the message of an error that shows no line yet."""
    message = str(error)
    if '  File "' not in message:
        error.args = (f'{message}\n{location_of(calling_site())}',)
