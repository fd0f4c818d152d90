"""Depth has no limit: everything is done at 100,000 ops in a row, and shared paths cost nothing."""

import copy
import gc
import pickle
import sys
import threading
import weakref

import torch

import adjoint as ad

DEPTH = 100_000


class Marker:
    """Something that can be watched as it dies."""


def chain(x: ad.Node, depth: int = DEPTH) -> ad.Node:
    y = x
    for _ in range(depth // 2):
        y = ad.sin(y) + x
    return y


def test_a_deep_chain_is_differentiated_evaluated_printed_and_copied() -> None:
    x = ad.Variable('x')
    y = chain(x)
    (g,) = ad.gradients(y, [x])
    order = ad.topological_sort([y, g])
    assert len(order) > 2 * DEPTH
    value = torch.tensor(0.1, dtype=torch.float64)
    got, slope = ad.Evaluator([y, g]).run({x: value})
    expected, rate = 0.1, 1.0
    for _ in range(DEPTH // 2):
        rate = torch.cos(torch.tensor(expected, dtype=torch.float64)).item() * rate + 1
        expected = torch.sin(torch.tensor(expected, dtype=torch.float64)).item() + 0.1
    assert abs(got.item() - expected) < 1e-12
    assert abs(slope.item() - rate) < 1e-12 * abs(rate)
    assert len(str(g)) <= 40
    assert repr(g)
    assert len(ad.to_text([g]).splitlines()) >= len(ad.topological_sort(g))


def test_a_deep_chain_is_copied_and_pickled_with_its_sharing() -> None:
    x = ad.Variable('x', shape=(2,), dtype=torch.float32)
    y = chain(x)
    value = torch.tensor([0.1, 0.2])
    expected = ad.Evaluator([y]).run({x: value})[0]
    for copied_x, copied_y in (
        copy.deepcopy((x, y)),
        copy.deepcopy([y, x])[::-1],
        pickle.loads(pickle.dumps((x, y))),
        pickle.loads(pickle.dumps([y, x]))[::-1],
    ):
        assert copied_y is not y
        assert copied_x in ad.topological_sort(copied_y)
        assert copied_y.op is ad.add
        assert copied_y.type == y.type
        assert torch.equal(ad.Evaluator([copied_y]).run({copied_x: value})[0], expected)
    # The line that made many nodes is stored once.
    assert len(pickle.dumps(y)) < 25 * DEPTH
    shallow = copy.copy(y)
    assert shallow.inputs == y.inputs
    assert shallow.inputs is not y.inputs


def test_a_list_of_every_node_is_copied_and_pickled_in_linear_time() -> None:
    x = ad.Variable('x')
    order = ad.topological_sort(chain(x, 20_000))
    for copied in (copy.deepcopy(order), pickle.loads(pickle.dumps(order))):
        assert len(set(copied)) == len(order)
        assert ad.topological_sort(copied[-1]) == copied


def test_a_pickle_keeps_names_attrs_lines_and_ops() -> None:
    x = ad.Variable('x')
    y = ad.sum(x * 3, 1, keepdim=True)
    loaded = pickle.loads(pickle.dumps(y))
    assert loaded.op is ad.sum
    assert loaded.attrs == y.attrs
    assert str(loaded) == str(y)
    assert loaded.location == y.location
    assert loaded.inputs[0].constant == 3


def test_a_deep_chain_is_freed() -> None:
    gc.collect()
    watched = ad.Variable('x')
    y = chain(watched)
    dead = [weakref.ref(n) for n in ad.topological_sort(y)]
    del y, watched
    gc.collect()
    assert not any(r() for r in dead)


def test_depth_needs_no_deep_stack() -> None:
    """All of it works in a thread with the smallest stack and a low recursion limit."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            x = ad.Variable('x')
            y = chain(x, 20_000)
            (g,) = ad.gradients(y, [x])
            pickle.loads(pickle.dumps(copy.deepcopy(g)))
            ad.Evaluator([g]).run({x: torch.tensor(1.0)})
            ad.pushforward(y, {x: ad.ones_like(x)})
        except BaseException as error:  # noqa: BLE001 handed to the main thread
            failures.append(error)

    before, limit = threading.stack_size(512 * 1024), sys.getrecursionlimit()
    sys.setrecursionlimit(150)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(before)
    assert not failures


def test_a_ladder_of_diamonds_is_differentiated_in_linear_time() -> None:
    x = ad.Variable('x', shape=(), dtype=torch.float64)
    y = x
    for _ in range(60):
        y = y * 0.5 + ad.sin(y) * 0.5
    (g,) = ad.gradients(y, [x])
    assert len(ad.topological_sort(g)) < 60 * 12
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    z = t
    for _ in range(60):
        z = z * 0.5 + torch.sin(z) * 0.5
    (expected,) = torch.autograd.grad(z, t)
    (got,) = ad.Evaluator([g]).run({x: t.detach()})
    assert abs(got - expected) < 1e-14
