"""In which order a loop is run backwards with few of its carries kept: binomial checkpointing.

With room for ``s`` carries, ``C(s + r, s)`` steps can be pulled back, last to first, so that none is run
forwards more than ``r`` times for it; no order needs fewer steps in all.

References
----------
A. Griewank, A. Walther: Algorithm 799: revolve. ACM Transactions on Mathematical Software 26 (2000) 19-45.
"""

import math
from collections.abc import Iterator
from typing import Literal, TypeAlias

__all__ = ['Action', 'default_snapshots', 'fewest_steps', 'order']

Action: TypeAlias = Literal['keep', 'restore', 'advance', 'back', 'drop']


def reachable(snapshots: int, repeats: int) -> int:
    """Return how many steps can be pulled back, none of them run forwards more than ``repeats`` times."""
    return math.comb(snapshots + repeats, snapshots) if repeats >= 0 else 0


def repeats_of(steps: int, snapshots: int) -> int:
    """Return how often a step has to be run forwards at most."""
    repeats = 0
    while reachable(snapshots, repeats) < steps:
        repeats += 1
    return repeats


def fewest_steps(steps: int, snapshots: int) -> int:
    """Return how many steps are run forwards to pull all of them back; no order needs fewer.

    Examples
    --------
    >>> fewest_steps(100_000, 100)
    294747
    >>> fewest_steps(100, 100), fewest_steps(100, 1)
    (99, 4950)
    """
    repeats = repeats_of(steps, snapshots)
    return repeats * steps - math.comb(snapshots + repeats, repeats - 1) if repeats else 0


def default_snapshots(steps: int) -> int:
    """Return how many carries are kept of a loop if nobody says: in the order of the logarithm of its length.

    Examples
    --------
    >>> [default_snapshots(n) for n in (10, 1_000, 100_000)]
    [16, 40, 68]
    """
    return 4 * math.ceil(math.log2(steps + 1)) if steps else 1


def order(steps: int, snapshots: int) -> Iterator[tuple[Action, int]]:
    """Yield what to do, to pull back every step of a loop with the fewest steps forwards.

    Parameters
    ----------
    steps : int
        Of the loop.
    snapshots : int
        How many carries can be kept at a time, the first one among them; at least 1.

    Yields
    ------
    action : {'keep', 'restore', 'advance', 'back', 'drop'}
        Keep the present carry; make one that was kept the present one; run a step forwards; pull back the
        step that the present carry is given to; forget a carry that was kept.
    step : int
        Which carry is kept, restored or forgotten; which one there is after the step; which step is pulled
        back.

    Examples
    --------
    >>> [f'{action} {step}' for action, step in order(3, 2) if action in {'keep', 'advance', 'back'}]
    ['keep 0', 'advance 1', 'keep 1', 'advance 2', 'back 2', 'back 1', 'back 0']
    """
    if steps == 0:
        return
    yield 'keep', 0
    # Parts whose first carry is kept: where they begin, how long they are, and how many can be kept of them.
    parts = [(0, steps, snapshots)]
    at = 0
    while parts:
        start, length, free = parts.pop()
        if at != start:
            yield 'restore', start
            at = start
        while length > 1 and free > 1:
            ahead = _split(length, free)
            parts.append((start, ahead, free))
            start, length, free = start + ahead, length - ahead, free - 1
            while at < start:
                at += 1
                yield 'advance', at
            yield 'keep', start
        for step in range(start + length - 1, start - 1, -1):
            if at > step:
                yield 'restore', start
                at = start
            while at < step:
                at += 1
                yield 'advance', at
            yield 'back', step
        yield 'drop', start


def _split(length: int, free: int) -> int:
    """Return after how many steps to keep the next carry."""
    repeats = repeats_of(length, free)
    return min(reachable(free, repeats - 1), length - reachable(free - 1, repeats - 1))
