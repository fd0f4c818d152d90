"""The process that compiles: started when it is first needed, ended with this one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from threading import Lock

__all__ = ['CompilerError', 'Service']

# Run by its folder, so that it can import what lies there, and not the package.
_COMPILER = Path(__file__).with_name('compiler')


class CompilerError(Exception):
    """A program was not compiled; the message says why. Users never see it: they get the plan."""


class Service:
    """Compiles one program after the other in a process of its own; safe for threads.

    Parameters
    ----------
    nice : int
        By how much that process stands back behind others.
    """

    def __init__(self, nice: int = 0) -> None:
        self._nice = nice
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._is_closed = False

    def start(self) -> None:
        """Start the process, so that it is ready when there is a program; raises nothing."""
        if self._lock.acquire(blocking=False):  # else it compiles
            try:
                with contextlib.suppress(OSError, CompilerError):
                    self._running()
            finally:
                self._lock.release()

    def compile(self, program: Path, folder: Path) -> None:
        """Compile a program into a folder.

        Raises
        ------
        CompilerError
            It was not compiled.
        """
        with self._lock:
            try:
                process = self._running()
                assert process.stdin is not None  # noqa: S101 both are pipes
                assert process.stdout is not None  # noqa: S101
                process.stdin.write(json.dumps({'program': str(program), 'folder': str(folder)}) + '\n')
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError as error:
                msg = f'the process that compiles cannot be reached: {error}'
                raise CompilerError(msg) from error
        if not answer:
            msg = 'the process that compiles ended'
            raise CompilerError(msg)
        if error := str(json.loads(answer)['error']):
            raise CompilerError(error)

    def close(self) -> None:
        """End the process, in the middle of a program too, for good."""
        self._is_closed = True
        process = self._process
        if process is not None and self._owner == os.getpid():
            _end(process)

    @property
    def pid(self) -> int | None:
        """The number of the process that runs, if one does."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def _running(self) -> 'subprocess.Popen[str]':
        if self._is_closed:
            msg = 'nothing more is compiled'
            raise CompilerError(msg)
        process = self._process
        # After a fork, the pipes are the parent's.
        if process is None or self._owner != os.getpid() or process.poll() is not None:
            process = subprocess.Popen(  # noqa: S603 a file of ours
                [sys.executable, '-P', str(_COMPILER), str(self._nice)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            self._process, self._owner = process, os.getpid()
            weakref.finalize(self, _end_of, process, self._owner)
        return process


def _end_of(process: 'subprocess.Popen[str]', owner: int) -> None:
    if owner == os.getpid():
        _end(process)


def _end(process: 'subprocess.Popen[str]') -> None:
    """End a process and those that it started."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if hasattr(os, 'killpg'):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
