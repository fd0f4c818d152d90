"""A store of what was asked for lately, safe for threads."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ['Recent']

V = TypeVar('V')


class Recent(Generic[V]):
    """Entries by key, of which the least recently used is dropped when there are too many.

    Parameters
    ----------
    limit : int
        How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = Lock()
        # Most often it is the one of the last time, found without a hash or a lock.
        self._last: tuple[Hashable, V] | None = None

    def get(self, key: Hashable) -> V | None:
        """Return the entry of a key, or ``None``."""
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                self._last = (key, found)
        return found

    def put(self, key: Hashable, entry: V) -> V:
        """Keep an entry, unless another thread was faster; return the one that is kept."""
        with self._lock:
            entry = self._entries.setdefault(key, entry)
            self._entries.move_to_end(key)
            while len(self._entries) > self._limit:
                self._entries.popitem(last=False)
            self._last = (key, entry)
        return entry
