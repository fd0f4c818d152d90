"""Random graphs agree with the reference in poisoned memory; the module beside runs thousands."""

import pytest

from adjoint.execute.plan import Plan
from tests.execute.random_graphs import check


@pytest.mark.parametrize('block', range(10))
def test_random_graphs_agree_with_the_reference(block: int) -> None:
    for seed in range(30 * block, 30 * block + 30):
        check(seed)


def test_random_graphs_agree_after_rewrites_that_change_no_bit() -> None:
    for seed in range(2000, 2060):
        check(seed, level='bitwise')


def test_random_graphs_agree_with_the_memory_that_users_have() -> None:
    for seed in range(1000, 1060):
        check(seed, Plan(at_first_sight=True))
