"""What holds for every graph, on graphs drawn at random; ``make fuzz`` draws thousands."""

import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

import adjoint as ad
from adjoint.core.rebuild import rebuilt
from adjoint.execute.plan import Plan
from adjoint.passes.pipeline import Level, optimize
from benchmarks.peak import measured_peak
from tests.execute.agreement import IN_BLOCKS, POISONED, assert_agrees, same
from tests.execute.drawn_programs import REFUSALS, Drawn, graphs, programs, values_like
from tests.execute.node_by_node import differing_lines, inner_nodes
from tests.execute.rounding import outside, reach
from tests.execute.user_ops import Keeper

AT_ONCE = Plan(at_first_sight=True)
LEVELS = st.sampled_from(('none', 'bitwise'))
REALS = (torch.float64, torch.float32)


def share(part: float) -> settings:
    """A share of the examples that the profile asks for: 100 in the tests, thousands in ``make fuzz``."""
    return settings(
        max_examples=max(1, int(settings().max_examples * part)),
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


def keeps_something(nodes: Sequence[ad.Node]) -> bool:
    """Whether an op of a user looks at its values and keeps them."""
    return any(isinstance(node.op, Keeper) for node in ad.topological_sort(nodes))


@share(1.0)
@given(graphs(), LEVELS, st.sampled_from((POISONED, IN_BLOCKS)))
def test_the_plan_is_the_reference_in_every_bit_in_poisoned_memory(
    graph: Drawn, level: Level, executor: Plan
) -> None:
    assert_agrees(graph.outputs, graph.values, executor, level)


@share(0.5)
@given(graphs(), LEVELS)
def test_the_plan_is_the_reference_with_the_memory_that_users_have(graph: Drawn, level: Level) -> None:
    assert_agrees(graph.outputs, graph.values, AT_ONCE, level)


@share(0.5)
@given(graphs(most=40), LEVELS)
def test_small_values_lie_in_any_order_and_memory_too(graph: Drawn, level: Level) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('adjoint.execute.memory_order._SMALL', 0)
        assert_agrees(graph.outputs, graph.values, POISONED, level)


@share(0.5)
@given(graphs(), LEVELS)
def test_every_line_of_a_plan_is_what_the_reference_computes_for_its_node(graph: Drawn, level: Level) -> None:
    count, wrong = differing_lines(graph.outputs, graph.values, POISONED, level)
    event(f'{min(count, 20)} lines')
    assert wrong == []


@share(0.5)
@given(graphs())
def test_every_node_has_the_bits_of_its_counterpart_in_the_rewritten_graph(graph: Drawn) -> None:
    nodes = inner_nodes(graph.outputs)
    made = optimize(nodes, 'bitwise', final=True)
    wanted = ad.Evaluator(nodes, executor='reference').run(graph.values)
    found = ad.Evaluator(made, executor='reference').run(graph.values)
    for node, a, b in zip(nodes, found, wanted, strict=True):
        assert same(a, b), f'{node}: {a} instead of {b}'


@share(0.5)
@given(graphs(dtypes=REALS, wild=False, flow=False, users=False))
def test_rewrites_that_round_stay_within_what_rounding_can_do_to_a_graph(graph: Drawn) -> None:
    nodes = inner_nodes(graph.outputs)
    may_be = reach(nodes, graph.values)
    assume(may_be is not None)
    assert may_be is not None
    told = sum(int(r.spread.isfinite().sum()) for r in may_be) / max(sum(r.spread.numel() for r in may_be), 1)
    event(f'{told:.1f} of the entries are told')
    runs: dict[str, list[torch.Tensor]] = {
        'reference': ad.Evaluator(nodes, executor='reference').run(graph.values),
        'default': ad.Evaluator(nodes, POISONED, 'default').run(graph.values),
        'fast, all nodes': ad.Evaluator(nodes, POISONED, 'fast').run(graph.values),
    }
    whole = ad.Evaluator(graph.outputs, POISONED, 'fast')
    first, again = whole.run(graph.values), whole.run(graph.values)
    assert all(same(a, b) for a, b in zip(first, again, strict=True)), 'two runs differ'
    by_node = dict(zip(nodes, may_be, strict=True))
    for who, found in runs.items():
        for node, value, range_ in zip(nodes, found, may_be, strict=True):
            assert not outside(value, range_).any(), f'{who}, {node}: {value}, {range_}'
    for node, value in zip(graph.outputs, first, strict=True):
        assert not outside(value, by_node[node]).any(), f'fast, {node}: {value}, {by_node[node]}'


@share(0.2)
@given(graphs(), st.sampled_from((0.95, 0.8, 0.6, 0.0)))
def test_a_memory_budget_changes_no_bit(graph: Drawn, part: float) -> None:
    assume(not keeps_something(graph.outputs))
    wanted = ad.Evaluator(graph.outputs, executor='reference').run(graph.values)
    try:
        free = ad.Evaluator(graph.outputs).memory(graph.values).peak_bytes
    except (ad.UnsupportedOpError, ad.TensorTypeError):
        assume(condition=False)
        return
    budget = int(part * free)
    try:
        evaluator = ad.Evaluator(graph.outputs, POISONED, memory_budget=budget)
        evaluator.run(graph.values)
    except ad.BudgetError as error:
        # The smallest that is feasible, which the refusal tells, is.
        named = re.search(r'memory_budget=(\d+)', str(error))
        assert named is not None
        budget = int(named[1])
        evaluator = ad.Evaluator(graph.outputs, POISONED, memory_budget=budget)
        event('refused')
    assert evaluator.memory(graph.values).peak_bytes <= budget
    for _ in range(2):
        assert all(same(a, b) for a, b in zip(evaluator.run(graph.values), wanted, strict=True))


@share(0.2)
@given(graphs(flow=False), LEVELS)
def test_the_peak_of_a_run_is_told_before_it(graph: Drawn, level: Level) -> None:
    assume(not keeps_something(graph.outputs))
    evaluator = ad.Evaluator(graph.outputs, optimize=level)
    try:
        told = evaluator.memory(graph.values).peak_bytes
    except (ad.UnsupportedOpError, ad.TensorTypeError):
        assume(condition=False)
        return
    for _ in range(2):
        evaluator.run(graph.values)
    measured = measured_peak(lambda: evaluator.run(graph.values))
    # Kernels take a few numbers here and there for themselves.
    assert told == pytest.approx(measured, rel=0.05, abs=64)


@share(0.5)
@given(graphs(), st.sampled_from(('none', 'bitwise', 'default', 'fast')))
def test_results_are_the_callers_to_write_into(graph: Drawn, level: Level) -> None:
    evaluator = ad.Evaluator(graph.outputs, AT_ONCE, level)
    reference = ad.Evaluator(graph.outputs, executor='reference').run(graph.values)
    kept_values = {node: value.clone() for node, value in graph.values.items()}
    first = evaluator.run(graph.values)
    second = evaluator.run(graph.values)
    kept = [value.clone() for value in second]
    theirs = shared([*reference, *graph.values.values()])
    ours = shared([*second, *graph.values.values()])
    assert ours <= theirs, f'share memory with one another or with what is given: {sorted(ours - theirs)}'
    given_memory = {memory(v) for v in graph.values.values()}
    for value in first:
        if memory(value) not in given_memory and not keeps_something(graph.outputs):
            value.detach().set_(value.untyped_storage()).fill_(1)  # pyright: ignore[reportCallIssue]
    assert all(same(a, b) for a, b in zip(second, kept, strict=True)), 'a run wrote into an earlier result'
    third = evaluator.run(graph.values)
    assert all(same(a, b) for a, b in zip(third, kept, strict=True)), 'a result lies in memory of the program'
    for node, value in graph.values.items():
        assert same(value, kept_values[node])


def memory(value: torch.Tensor) -> int:
    """What tells the memory of a tensor from others."""
    return value.untyped_storage().data_ptr() or id(value)


def shared(values: Sequence[torch.Tensor]) -> set[tuple[int, int]]:
    """The pairs of positions whose values share memory."""
    homes = [memory(v) for v in values]
    return {(i, j) for i, a in enumerate(homes) for j, b in enumerate(homes) if i < j and a == b}


@share(0.4)
@given(graphs(runs=False), st.data())
def test_an_evaluator_serves_other_shapes_layouts_and_dtypes(graph: Drawn, data: st.DataObject) -> None:
    free = {x: ad.Variable(f'u{i}') for i, x in enumerate(graph.values)}
    outputs = rebuilt([ad.alias(node) for node in graph.outputs], free)
    typeless = untyped(outputs)
    evaluator = ad.Evaluator(typeless, POISONED)
    for _ in range(3):
        sizes = data.draw(st.permutations((1, 2, 3, 4)))
        values = {
            free[x]: values_like(
                data.draw,
                [size and sizes[size - 1] if size <= len(sizes) else size for size in v.shape],
                data.draw(st.sampled_from((v.dtype, v.dtype, torch.float32, torch.float64))),
                data.draw(st.sampled_from(('plain', 'transposed', 'every second', 'expanded'))),
                special=False,
            )
            for x, v in graph.values.items()
        }
        wanted = outcome(ad.Evaluator(typeless, executor='reference'), values)
        for _ in range(2):
            found = outcome(evaluator, values)
            event(f'{wanted if isinstance(wanted, str) else "runs"}')
            if isinstance(found, str) or isinstance(wanted, str):
                assert found == wanted
            else:
                assert all(same(a, b) for a, b in zip(found, wanted, strict=True))


def untyped(outputs: Sequence[ad.Node]) -> list[ad.Node]:
    """A graph made again without types."""
    made: dict[ad.Node, ad.Node] = {}
    for node in ad.topological_sort(outputs):
        inputs = [made[x] for x in node.inputs]
        is_same = not node.inputs
        made[node] = (
            node
            if is_same
            else node.restored(inputs, node.op, dict(node.attrs), node.given_name, node.site, None)
        )
    return [made[node] for node in outputs]


def outcome(evaluator: ad.Evaluator, values: dict[ad.Node, torch.Tensor]) -> Any:
    """The results of a run, or that it refuses."""
    try:
        return evaluator.run(values)
    except REFUSALS:
        return 'refuses'


@share(0.2)
@given(graphs())
def test_threads_share_an_evaluator(graph: Drawn) -> None:
    assume(not keeps_something(graph.outputs))
    others = {x: v.clone() + 1 if v.is_floating_point() else v.clone() for x, v in graph.values.items()}
    feeds = [graph.values, others]
    reference = ad.Evaluator(graph.outputs, executor='reference')
    wanted = [outcome(reference, feed) for feed in feeds]
    evaluator = ad.Evaluator(graph.outputs, AT_ONCE)
    wrong: list[str] = []

    def work(first: int) -> None:
        for i in range(first, first + 6):
            found, want = outcome(evaluator, feeds[i % 2]), wanted[i % 2]
            agrees = (
                found == want
                if isinstance(found, str) or isinstance(want, str)
                else all(same(a, b) for a, b in zip(found, want, strict=True))
            )
            if not agrees:
                wrong.append(f'{found} instead of {want}')

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@share(0.5)
@given(programs(wild=False, flow=False))
def test_the_reference_is_torch(drawn: Drawn) -> None:
    nodes = drawn.nodes
    may_be = reach(nodes, drawn.values)
    assume(may_be is not None)
    assert may_be is not None
    found = ad.Evaluator(nodes, executor='reference').run(drawn.values)
    for node, value, theirs, range_ in zip(nodes, found, drawn.tensors, may_be, strict=True):
        assert (value.dtype, value.shape) == (theirs.dtype, theirs.shape), str(node)
        # Both are within the reach of rounding.
        for result in (value, theirs):
            assert not outside(result, range_).any(), f'{node}: {value}, torch {theirs}, {range_}'
