"""The headers of kernels, compiled once for a machine and kept.

To read them takes 4 s, and to compile them twice as long, after which a program is compiled in 1 s. Inductor
compiles them where it looks for them: a process that is ended meanwhile leaves a part there, which no later
one can read. Here they are written aside, then renamed.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread, get_ident
from typing import Any

import torch
from torch._inductor import codecache
from torch._inductor.cpp_builder import (
    CppBuilder,
    CppTorchDeviceOptions,
    get_compiler_version_info,
    get_cpp_compiler,
)
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

__all__ = ['KeptHeaders']

# Inductor's function for it, which has no public name.
_COMPILES = '_precompile_header'

_FILE = 'header.h'
_ASIDE = '.part-'

# A folder that was begun so many seconds ago is one that nobody will end.
_OLD = 3600.0


class KeptHeaders:
    """Compiled headers beside those of Inductor, by the command that compiles what includes them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._maker = 0

    def take_over(self, look: Callable[[], object]) -> None:
        """Have Inductor look here, in this process; compile in a thread what kernels will look for.

        Parameters
        ----------
        look : callable
            Has Inductor look for it.
        """
        setattr(codecache, _COMPILES, self.find)

        def job() -> None:
            self._maker = get_ident()
            # What fails here fails again where somebody is told of it.
            with suppress(Exception):
                look()

        Thread(target=job, daemon=True).start()

    def find(self, header: str, line: str, **command: Any) -> str | None:
        """Return a header that is compiled, to be included first; ``None`` where there is none.

        Parameters
        ----------
        header : str
            Its name.
        line : str
            The command that compiles what includes it.
        **command : object
            Options of that command.
        """
        place = Path(default_cache_dir()) / 'adjoint_headers' / _key(header, line)
        with self._lock:  # who asks while it is made waits
            if not place.is_dir() and get_ident() == self._maker:
                _compile(place, header, command)
        return str(place / _FILE) if place.is_dir() else None


def _key(header: str, line: str) -> str:
    compiler = get_compiler_version_info(get_cpp_compiler())
    told = (header, line, compiler, str(torch.__version__), torch.version.git_version)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def _compile(place: Path, header: str, command: dict[str, Any]) -> None:
    home = place.parent
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for part in home.glob(f'{_ASIDE}*'):
        if time.time() - part.stat().st_mtime > _OLD:
            shutil.rmtree(part, ignore_errors=True)
    command.pop('extra_flags', None)  # they are for linking
    with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=home, ignore_cleanup_errors=True) as aside:
        made = Path(aside) / place.name
        made.mkdir()
        source = made / _FILE
        source.write_text(f'#include <{header}>\n', encoding='utf-8')
        options = CppTorchDeviceOptions(**command, precompiling=True)
        CppBuilder(name=str(source), sources=str(source), BuildOption=options).build()
        with suppress(OSError):  # another process was faster
            made.rename(place)
