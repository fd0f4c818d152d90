"""A run fits in its memory budget, gives the same values, and takes as little time as can be."""

import heapq
import math
import random
import re
from itertools import combinations

import pytest
import torch

import adjoint as ad
from adjoint.execute.budget import repeatable
from adjoint.execute.budget_greedy import Weights, evicted, trimmed
from adjoint.execute.budget_problem import Problem
from adjoint.execute.budget_search import searched
from adjoint.execute.budget_solver import smallest, solved
from adjoint.execute.memory import bytes_of
from adjoint.execute.plan import Plan
from adjoint.flow.revolve import fewest_steps
from adjoint.ops.activation import gelu_tanh, relu, sigmoid, silu
from adjoint.ops.random import dropout_mask
from benchmarks.peak import measured_peak
from tests.execute.agreement import same
from tests.ops.case import spread

FLOAT = torch.float32


# -- the solver ------------------------------------------------------------------------------------


def drawn(seed: int, count: int) -> Problem:
    """Random values, each of which is computed from some of the last few."""
    rng = random.Random(seed)
    reads = [
        tuple(sorted(rng.sample(range(max(0, i - 5), i), k=min(i, rng.randint(0 if i < 2 else 1, 2)))))
        for i in range(count)
    ]
    read = {x for each in reads for x in each}
    sizes = [rng.choice([1, 2, 5, 10]) for _ in range(count)]
    return Problem(
        reads,
        sizes,
        [rng.choice([0, 0, 1]) for _ in range(count)],
        [tuple(x for x in each if sizes[x] == sizes[i])[:1] for i, each in enumerate(reads)],
        [rng.choice([1.0, 2.0, 5.0]) for _ in range(count)],
        [True] * count,
        frozenset(i for i in range(count) if i not in read),
    )


def chain(length: int) -> Problem:
    """A chain and its derivative: values of one byte that take one second."""
    reads: list[tuple[int, ...]] = [(), *((i - 1,) for i in range(1, length))]
    reads += [tuple({length - 1 - k, length + k - 1}) for k in range(length)]
    count = 2 * length
    ones = [1] * count
    return Problem(
        reads, ones, [0] * count, [()] * count, [1.0] * count, [True] * count, frozenset({count - 1})
    )


def parts_of(values: frozenset[int]) -> list[frozenset[int]]:
    """Every set of some of the values."""
    return [frozenset(part) for size in range(len(values) + 1) for part in combinations(sorted(values), size)]


def by_brute_force(problem: Problem, budget: int) -> float | None:
    """The least time of any schedule: every set of values that may be alive, and all ways between them."""
    best = {frozenset[int](): 0.0}
    queue: list[tuple[float, int, frozenset[int]]] = [(0.0, 0, frozenset())]
    count = 0
    while queue:
        time, _, alive = heapq.heappop(queue)
        if time > best[alive]:
            continue
        if problem.kept <= alive:
            return time
        for i in range(len(problem.bytes)):
            if i in alive or not alive.issuperset(problem.reads[i]):
                continue
            live = sum(problem.bytes[x] for x in alive) + problem.extra[i]
            ways = [alive | {i}] if live + problem.bytes[i] <= budget else []
            if live <= budget:
                ways += [alive - {c} | {i} for c in problem.over[i]]
            for way in ways:
                for kept in parts_of(way):
                    if time + problem.seconds[i] < best.get(kept, float('inf')):
                        best[kept] = time + problem.seconds[i]
                        count += 1
                        heapq.heappush(queue, (best[kept], count, kept))
    return None


@pytest.mark.parametrize('seed', range(40))
def test_no_schedule_of_a_small_graph_is_faster(seed: int) -> None:
    problem, order = drawn(seed, 6), tuple(range(6))
    for budget in {problem.least(), (problem.least() + problem.peak(order)) // 2}:
        solution = solved(problem, [order], budget)
        best = by_brute_force(problem, budget)
        assert (None if solution is None else problem.time(solution.schedule)) == best
        if solution is not None:
            assert solution.is_optimal
            assert problem.peak(solution.schedule) <= budget


def is_valid(problem: Problem, schedule: tuple[int, ...]) -> bool:
    done: set[int] = set()
    for i in schedule:
        if not done.issuperset(problem.reads[i]):
            return False
        done.add(i)
    return problem.kept <= done


@pytest.mark.parametrize('seed', range(30))
def test_what_is_found_for_larger_graphs_is_valid_and_close_to_the_best(seed: int) -> None:
    problem, order = drawn(seed, 12), tuple(range(12))
    budget = (problem.least() + 2 * problem.peak(order)) // 3
    best, is_proven = searched(problem, budget, 10**6)
    assert is_proven
    found = evicted(problem, order, budget, Weights())
    if found is None:
        return
    assert best is not None
    assert is_valid(problem, found)
    shorter = trimmed(problem, found, budget)
    assert is_valid(problem, shorter)
    assert problem.peak(shorter) <= budget
    assert problem.time(best) <= problem.time(shorter) <= problem.time(found)
    assert problem.time(shorter) <= 1.4 * problem.time(best)


@pytest.mark.parametrize(('length', 'slots'), [(30, 5), (30, 12), (60, 8), (100, 12)])
def test_a_chain_is_recomputed_about_as_rarely_as_can_be(length: int, slots: int) -> None:
    # The fewest forward steps with so many carries kept (Griewank and Walther 2000); beside these, the step
    # back takes two values.
    problem = chain(length)
    solution = solved(problem, [tuple(range(2 * length))], slots + 2)
    assert solution is not None
    extra = len(solution.schedule) - 2 * length
    assert extra <= 1.15 * (fewest_steps(length, slots) - (length - 1))


def test_the_smallest_budget_is_one_that_a_schedule_is_found_for() -> None:
    for problem in (chain(40), drawn(3, 10), drawn(4, 40)):
        order = tuple(range(len(problem.bytes)))
        least = smallest(problem, [order])
        assert problem.least() <= least <= problem.peak(order)
        assert solved(problem, [order], least) is not None


def test_what_cannot_be_repeated_is_computed_once() -> None:
    problem = chain(30)
    once = Problem(
        problem.reads, problem.bytes, problem.extra, problem.over, problem.seconds,
        [i % 3 != 0 for i in range(60)], problem.kept,
    )  # fmt: skip
    solution = solved(once, [tuple(range(60))], 26)
    assert solution is not None
    assert all(solution.schedule.count(i) == 1 for i in range(0, 60, 3))
    assert any(solution.schedule.count(i) > 1 for i in range(60))


# -- programs --------------------------------------------------------------------------------------


def deep(depth: int = 12) -> tuple[list[ad.Node], dict[ad.Node, torch.Tensor]]:
    """The gradients of a deep network with dropout, by its weights."""
    weights = [ad.Variable(f'w{i}', (32, 32), FLOAT) for i in range(depth)]
    x = ad.Variable('x', (256, 32), FLOAT)
    h = x
    for i, w in enumerate(weights):
        h = ad.tanh(h @ w)
        h = h * dropout_mask(h, 0.1, seed=i) if i % 3 == 0 else ad.transpose(ad.transpose(h, 0, 1), 0, 1)
    loss = ad.sum(h * h)
    generator = torch.Generator().manual_seed(0)
    values = {v: torch.randn(v.shape, generator=generator) / 4 for v in (x, *weights)}
    return [loss, *ad.gradients(loss, weights)], values


@pytest.mark.parametrize('part', [0.8, 0.6, 0.45])
def test_a_run_fits_in_its_budget_and_gives_the_same(part: float) -> None:
    nodes, values = deep()
    free = ad.Evaluator(nodes, executor='plan').memory(values)
    budget = int(part * free.peak_bytes)
    evaluator = ad.Evaluator(nodes, executor='plan', memory_budget=budget)
    told = evaluator.memory(values)
    assert told.peak_bytes <= budget
    assert told.recomputed
    wanted = ad.Evaluator(nodes, executor='reference').run(values)
    results: list[torch.Tensor] = []
    first = measured_peak(lambda: results.extend(evaluator.run(values)))
    assert all(same(a, b) for a, b in zip(results, wanted, strict=True))
    then = measured_peak(lambda: evaluator.run(values))
    assert first <= budget + 512
    assert then == pytest.approx(told.peak_bytes, rel=0.01)
    assert all(same(a, b) for a, b in zip(evaluator.run(values), wanted, strict=True))
    assert f'{len(told.recomputed)} steps are computed again' in str(told)


@pytest.mark.parametrize('level', ['none', 'bitwise', 'default', 'fast'])
def test_no_level_merges_what_is_computed_again(level: str) -> None:
    nodes, values = deep()
    free = ad.Evaluator(nodes, executor='plan', optimize=level).memory(values)
    evaluator = ad.Evaluator(nodes, executor='plan', optimize=level, memory_budget=free.peak_bytes // 2)
    again = evaluator.memory(values).recomputed
    text = evaluator.program(values)
    assert again
    assert text.count('tanh') >= 12 + sum(step.node.op is ad.tanh for step in again)


FUNCTIONS = {
    'gelu_tanh': gelu_tanh, 'silu': silu, 'tanh': ad.tanh, 'relu': relu, 'sigmoid': sigmoid,
    'layernorm': lambda x: ad.layernorm(x, (32,)),
}  # fmt: skip


@pytest.mark.parametrize('part', [0.8, 0.6])
@pytest.mark.parametrize('level', ['none', 'bitwise', 'fast'])
@pytest.mark.parametrize('name', FUNCTIONS)
def test_kernels_that_are_several_nodes_are_computed_again_as_wholes(
    name: str, level: str, part: float
) -> None:
    weights = [ad.Variable(f'w{i}', (32, 32), FLOAT) for i in range(10)]
    x = ad.Variable('x', (256, 32), FLOAT)
    h = x
    for i, w in enumerate(weights):
        product = h @ w + 0.1 * i
        h = FUNCTIONS[name](product)
    loss = ad.sum(h * h)
    nodes = [loss, *ad.gradients(loss, weights)]
    values = {v: spread(*v.shape, seed=i).float() / 8 for i, v in enumerate((x, *weights))}
    free = ad.Evaluator(nodes, optimize=level)
    budget = int(part * free.memory(values).peak_bytes)
    evaluator = ad.Evaluator(nodes, optimize=level, memory_budget=budget)
    assert evaluator.memory(values).recomputed
    wanted = free.run(values)
    for _ in range(2):
        for a, b in zip(evaluator.run(values), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6 * float(b.abs().max()))


def test_a_draw_that_is_made_again_is_the_same() -> None:
    x = ad.Variable('x', (4096,), FLOAT)
    mask = dropout_mask(x, 0.5, seed=7)
    h = x * mask
    for _ in range(4):
        h = ad.exp(ad.sin(h)) * h
    nodes = [ad.sum(ad.cat([h * mask, ad.cat([h, h])])), ad.sum(mask)]
    values = {x: torch.linspace(-1, 1, 4096)}
    free = ad.Evaluator(nodes, executor='plan').memory()
    evaluator = ad.Evaluator(nodes, executor='plan', memory_budget=free.peak_bytes - 1)
    wanted = ad.Evaluator(nodes, executor='reference').run(values)
    assert all(same(a, b) for a, b in zip(evaluator.run(values), wanted, strict=True))


def test_a_budget_that_is_large_enough_changes_nothing() -> None:
    nodes, values = deep(4)
    evaluator = ad.Evaluator(nodes, executor='plan', memory_budget='1 GiB')
    memory = evaluator.memory(values)
    assert (memory.recomputed, memory.is_optimal, memory.overhead()) == ((), True, 0.0)


def test_the_refusal_names_the_smallest_budget_which_then_works() -> None:
    nodes, values = deep()
    with pytest.raises(ad.BudgetError, match=r'smallest budget.*memory_budget=(\d+)') as refused:
        ad.Evaluator(nodes, executor='plan', memory_budget=1000).run(values)
    assert 'test_memory_budget.py' in str(refused.value)
    least = int(str(refused.value).split('memory_budget=')[1].split()[0])
    memory = ad.Evaluator(nodes, executor='plan', memory_budget=least).memory(values)
    assert memory.peak_bytes <= least


def test_nothing_of_a_user_is_computed_twice() -> None:
    class Noted(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            seen.append(type(input_values[0]) is torch.Tensor and input_values[0].device.type == 'cpu')
            return input_values[0] * 2

    seen: list[bool] = []
    x = ad.Variable('x', (5000,), FLOAT)
    h, parts = x, list[ad.Node]()
    noted = Noted()
    for i in range(10):
        h = ad.sin(noted(h) if i == 5 else ad.exp(h))
        parts.append(h)
    y = ad.sum(ad.cat([ad.sum(p * q).reshape(1) for p, q in zip(parts, reversed(parts), strict=True)]))
    free = ad.Evaluator([y], executor='plan').memory()
    evaluator = ad.Evaluator([y], executor='plan', memory_budget=int(0.85 * free.peak_bytes))
    assert evaluator.memory().recomputed
    seen.clear()
    evaluator.run({x: torch.ones(5000)})
    assert sum(seen) == 1


def test_only_ops_of_ours_are_repeatable() -> None:
    class Own(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0]

    x = ad.Variable('x', (3,), FLOAT)
    assert repeatable(ad.sin(x))
    assert repeatable(dropout_mask(x, 0.1, seed=0))
    assert not repeatable(Own()(x))


def test_what_only_a_run_can_look_into_is_kept_within_a_budget() -> None:
    x = ad.Variable('x', (100,), FLOAT)
    chosen = ad.cond(ad.sum(x) > 0, lambda v: v * 2, lambda v: v, x)
    y = ad.sum(ad.exp(chosen) * ad.sin(chosen))
    free = ad.Evaluator([y]).memory().peak_bytes
    evaluator = ad.Evaluator([y], memory_budget=free)
    reference = ad.Evaluator([y], executor='reference')
    for sign in (1.0, -1.0):  # the second branch is a view of its operand
        value = torch.full((100,), sign)
        for _ in range(2):
            assert same(evaluator.run({x: value})[0], reference.run({x: value})[0])


def test_the_smallest_budget_that_a_refusal_names_is_kept() -> None:
    x = ad.Variable('x', (0,), torch.float64)
    y = ad.cond(ad.sum(x) > 0, lambda v: v * 2, ad.sin, x)
    for _ in range(8):
        y = ad.sin(y)
    y = ad.cond(ad.sum(y) > 0, lambda v: v * 2, ad.sin, ad.maximum(y, y))
    given = torch.zeros(0, dtype=torch.float64)
    with pytest.raises(ad.BudgetError) as refused:
        ad.Evaluator([y], Plan(poison=True), memory_budget=0).run({x: given})
    named = re.search(r'memory_budget=(\d+)', str(refused.value))
    assert named is not None
    evaluator = ad.Evaluator([y], Plan(poison=True), memory_budget=int(named[1]))
    assert evaluator.run({x: given})[0].shape == (0,)


@pytest.mark.parametrize('amount', ['2 GB/s', 'much', '', -1, 1.5, True], ids=str)
def test_what_is_no_amount_of_memory_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match="number of bytes or an amount such as '2 GiB'"):
        bytes_of(amount)


def test_amounts_of_memory() -> None:
    assert [bytes_of(a) for a in (7, '7', '7 B', '2 kB', '2KiB', '1.5 MiB', ' 3 GB ')] == [
        7, 7, 7, 2000, 2048, 1572864, 3 * 10**9,
    ]  # fmt: skip


def test_only_the_plan_keeps_a_budget() -> None:
    x = ad.Variable('x')
    with pytest.raises(ValueError, match="executor='plan'"):
        ad.Evaluator([ad.sin(x)], executor='reference', memory_budget=1000)


def test_a_part_of_a_value_that_repeats_itself_may_be_all_of_its_memory():
    x = ad.Variable('x', (2,), torch.float64)
    given = {x: torch.tensor(1.5, dtype=torch.float64).expand(2)}
    evaluator = ad.Evaluator([ad.sin(x[0]) * x], memory_budget=1000)
    for _ in range(2):
        assert evaluator.run(given)[0].tolist() == [math.sin(1.5) * 1.5] * 2
