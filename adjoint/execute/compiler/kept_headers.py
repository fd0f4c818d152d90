"""The headers of kernels, compiled once and kept for all programs.

To read them takes 4 s, longer than a small program; to compile them twice as long, and then a program takes
1 s. So the first program is compiled without, and they are compiled when it is done, behind everything else.
Inductor compiles them first, and where it looks for them: a process that is ended meanwhile leaves a part
there, which no later one can read. Here they are written aside, then renamed.
"""

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread, get_native_id
from typing import Any

import torch
from torch._inductor import codecache
from torch._inductor.cpp_builder import (
    CppBuilder,
    CppTorchDeviceOptions,
    get_compiler_version_info,
    get_cpp_compiler,
)
from torch._inductor.runtime.cache_dir_utils import cache_dir

__all__ = ['KeptHeaders']

_FILE = 'header.h'
_ASIDE = '.part-'

# A folder that was begun so many seconds ago is one that nobody will end.
_OLD = 3600.0

# How far the compiler stands back behind other processes.
_NICE = 19


class KeptHeaders:
    """Compiled headers in Inductor's folder for caches, by the command that compiles what includes them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted: dict[Path, tuple[str, dict[str, Any]]] = {}

    def take_over(self) -> None:
        """Have Inductor look here, in this process."""
        codecache._precompile_header = self.find  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def find(self, header: str, line: str, **command: Any) -> str | None:
        """Return a header that is compiled, to be included first; ``None`` where there is none yet.

        Parameters
        ----------
        header : str
            Its name.
        line : str
            The command that compiles what includes it.
        **command : object
            Options of that command.
        """
        place = _home() / _key(header, line)
        if place.is_dir():
            return str(place / _FILE)
        command.pop('extra_flags', None)  # they are for linking
        with self._lock:
            self._wanted[place] = header, command
        return None

    def compile_wanted(self) -> None:
        """Compile in a thread what was looked for in vain."""
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        if wanted:
            Thread(target=_compile_all, args=(wanted,), daemon=True).start()


def _home() -> Path:
    return Path(cache_dir()) / 'adjoint_headers'


def _key(header: str, line: str) -> str:
    versions = (
        str(torch.__version__),
        torch.version.git_version,
        get_compiler_version_info(get_cpp_compiler()),
    )
    return hashlib.sha256(repr((header, line, *versions)).encode()).hexdigest()[:32]


def _compile_all(wanted: dict[Path, tuple[str, dict[str, Any]]]) -> None:
    # Where it fails, or cannot be, programs are compiled without.
    with suppress(Exception):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)
    for place, (header, command) in wanted.items():
        with suppress(Exception):
            _compile(place, header, command)


def _compile(place: Path, header: str, command: dict[str, Any]) -> None:
    home = place.parent
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for part in home.glob(f'{_ASIDE}*'):
        if time.time() - part.stat().st_mtime > _OLD:
            shutil.rmtree(part, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=home, ignore_cleanup_errors=True) as aside:
        made = Path(aside) / place.name
        made.mkdir()
        source = made / _FILE
        source.write_text(f'#include <{header}>\n', encoding='utf-8')
        options = CppTorchDeviceOptions(**command, precompiling=True)
        CppBuilder(name=str(source), sources=str(source), BuildOption=options).build()
        if not place.exists():
            made.rename(place)
