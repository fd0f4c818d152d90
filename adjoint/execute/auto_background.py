"""Work that is done beside a run: one job after the other, in a thread that ends when there is none."""

import weakref
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread

__all__ = ['Background']

# Seconds that the end of the process waits for what is being done.
_PATIENCE = 10.0


class Background:
    """Does jobs in a thread.

    Parameters
    ----------
    at_end : callable
        Called when this object or the process ends: makes the job that is being done come to its end.
    """

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._work = _Work()
        weakref.finalize(self, _end, self._work, at_end)

    def do(self, job: Callable[[], None]) -> None:
        """Do a job when those before it are done; it must not raise."""
        self._work.do(job)


class _Work:
    """The jobs, and the thread: apart from the object whose end ends them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._thread: Thread | None = None
        self._is_ended = False

    def do(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(job)
            # After a fork, the thread is not there.
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, name='adjoint-compiles', daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._is_ended or not self._jobs:
                    self._thread = None
                    return
                job = self._jobs.popleft()
            job()

    def end(self) -> Thread | None:
        """Begin no further job; return the thread that is still at one."""
        with self._lock:
            self._is_ended = True
            self._jobs.clear()
            return self._thread


def _end(work: _Work, at_end: Callable[[], None]) -> None:
    thread = work.end()
    at_end()
    if thread is not None:
        thread.join(_PATIENCE)
