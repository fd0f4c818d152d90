"""What flows from one node to another, and what is said where nothing does."""

from collections.abc import Callable

import pytest
import torch

import adjoint as ad


@pytest.fixture
def x():
    return ad.Variable('x', (3,), torch.float64)


def test_the_path_of_a_derivative_is_the_shortest(x: ad.Node):
    near = ad.sin(x)
    far = ad.exp(ad.cos(ad.tanh(x)))
    y = far * near
    found = ad.explain_connection(y, x)
    assert found
    assert found.path == (y, near, x)
    assert 'sin(x): float64[3]' in str(found)


def test_a_node_is_connected_to_itself(x: ad.Node):
    assert ad.explain_connection(x, x).path == (x,)


@pytest.mark.parametrize(
    ('make', 'verdict', 'reason', 'said'),
    [
        (ad.floor, 'cut', 'step', 'floor is constant between its jumps'),
        (lambda x: x > 0, 'cut', 'step', 'gt is constant between its jumps'),
        (lambda x: ad.argmax(x, 0), 'cut', 'step', 'argmax is constant'),
        (ad.detach, 'cut', 'stop', 'detach stops the derivative'),
        (lambda x: ad.cast(x, torch.int64), 'cut', 'integer', 'is int64'),
        (ad.zeros_like, 'zero', 'sizes', 'reads only the sizes'),
        (lambda x: x**0, 'zero', 'zero', 'the derivative of pow by this operand is zero'),
    ],
)
def test_what_is_in_the_way_is_named(
    x: ad.Node, make: Callable[[ad.Node], ad.Node], verdict: str, reason: str, said: str
):
    blocking = make(ad.sin(x))
    y = ad.cast(blocking, torch.float64) * 2.0 + 1.0
    found = ad.explain_connection(y, x)
    assert not found
    assert (found.path, [c.node for c in found.cuts]) == ((), [blocking])
    assert said in str(found)
    assert 'test_connection.py' in str(found)
    assert (found.verdict, found.cuts[0].reason) == (verdict, reason)
    assert ad.gradients(y, [x], unconnected='none') == [None]


def test_what_does_not_depend_is_apart(x: ad.Node):
    found = ad.explain_connection(ad.sin(ad.Variable('z')), x)
    assert (found.verdict, found.cuts) == ('apart', ())


def test_an_op_without_a_rule_is_undefined(x: ad.Node):
    class Opaque(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0].clone()

    found = ad.explain_connection(ad.sin(Opaque()(x)), x)
    assert found.verdict == 'undefined'
    assert 'states no derivative' in str(found)


def test_other_paths_that_are_cut_are_counted(x: ad.Node):
    y = x * ad.floor(x) * ad.detach(x)
    found = ad.explain_connection(y, x)
    assert found.verdict == 'connected'
    assert 'Other paths are cut in 2 places' in str(found)


def test_each_output_of_an_op_is_told_apart(x: ad.Node):
    values, positions = torch.topk(x, 2, 0)
    assert ad.explain_connection(values, x)
    assert ad.explain_connection(values * ad.cast(positions, torch.float64), x)
    assert ad.explain_connection(ad.cast(positions, torch.float64), x).verdict == 'cut'


def test_a_long_chain_is_walked_without_recursion(x: ad.Node):
    y = x
    for _ in range(20_000):
        y = ad.sin(y)
    assert len(ad.explain_connection(y, x).path) == 20_001


def test_unconnected_nodes_get_what_was_asked_for(x: ad.Node):
    z = ad.Variable('z', (2,), torch.float64)
    y = ad.sin(x) * ad.floor(x)
    zeros = ad.Evaluator(ad.gradients(y, [x, z])).run({x: torch.ones(3).double(), z: torch.ones(2).double()})
    assert zeros[1].tolist() == [0, 0]
    by_x, by_z = ad.gradients(y, [x, z], unconnected='none')
    assert by_x is not None
    assert by_z is None
    assert len(ad.gradients(y, [x], unconnected='raise')) == 1
    with pytest.raises(ad.NonDifferentiableError, match='does not depend on'):
        ad.gradients(y, [x, z], unconnected='raise')
    with pytest.raises(ad.NonDifferentiableError, match=r'(?s)floor is constant.*test_connection.py'):
        ad.gradients(ad.floor(x) * 1.0, [x], unconnected='raise')
    with pytest.raises(ad.TensorTypeError, match="got 'nothing'"):
        ad.gradients(y, [x], unconnected='nothing')


def test_arguments_that_are_no_nodes_are_refused(x: ad.Node):
    with pytest.raises(ad.TensorTypeError, match='takes two nodes'):
        ad.explain_connection(torch.ones(3), x)
