"""The order in which a loop is run backwards: right, within its room, and with the fewest steps."""

import functools
import math

import pytest

from adjoint.flow.revolve import default_snapshots, fewest_steps, order, repeats_of


@functools.cache
def fewest_by_search(steps: int, snapshots: int) -> int:
    """The fewest steps forwards, by trying every place for the next carry that is kept."""
    if steps <= 1:
        return 0
    if snapshots == 1:
        return steps * (steps - 1) // 2
    return min(
        k + fewest_by_search(steps - k, snapshots - 1) + fewest_by_search(k, snapshots)
        for k in range(1, steps)
    )


def followed(steps: int, snapshots: int) -> tuple[list[int], int, int, int]:
    """Return the steps pulled back, how many run forwards, the most kept and the most repeats of one."""
    kept: set[int] = set()
    most, at, back, forwards = 0, 0, list[int](), [0] * steps
    for action, step in order(steps, snapshots):
        if action == 'keep':
            assert at == step
            kept.add(step)
            most = max(most, len(kept))
        elif action == 'restore':
            assert step in kept
            at = step
        elif action == 'advance':
            assert at == step - 1
            forwards[at] += 1
            at = step
        elif action == 'back':
            assert at == step
            back.append(step)
        else:
            kept.remove(step)
    assert not kept
    return back, sum(forwards), most, max(forwards, default=0)


@pytest.mark.parametrize('snapshots', [1, 2, 3, 5, 8, 13, 60])
def test_order_takes_the_fewest_steps_that_its_room_allows(snapshots: int):
    for steps in (*range(40), 60):
        back, forwards, most, _ = followed(steps, snapshots)
        assert back == list(range(steps))[::-1]
        assert most <= min(snapshots, max(steps, 0))
        assert forwards == fewest_by_search(steps, snapshots) == fewest_steps(steps, snapshots)


@pytest.mark.parametrize(('steps', 'snapshots'), [(1000, 4), (1000, 40), (10_000, 56), (20_000, 3)])
def test_long_loop_stays_within_the_binomial_bound(steps: int, snapshots: int):
    back, forwards, most, repeats = followed(steps, snapshots)
    assert back == list(range(steps))[::-1]
    assert most == snapshots
    assert forwards == fewest_steps(steps, snapshots)
    bound = repeats_of(steps, snapshots)
    assert math.comb(snapshots + bound - 1, snapshots) < steps <= math.comb(snapshots + bound, snapshots)
    assert repeats <= bound


def test_room_grows_as_the_logarithm():
    assert [default_snapshots(2**k - 1) for k in (4, 8, 16, 32)] == [16, 32, 64, 128]
    assert default_snapshots(0) == 1
