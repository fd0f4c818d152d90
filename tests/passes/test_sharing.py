import math

import pytest
import torch

import adjoint as ad
from adjoint.core.node import Node
from adjoint.ops.body import Body
from adjoint.ops.random import drawn_normal, dropout_mask
from adjoint.passes.sharing import shared

x, y = ad.Variable('x'), ad.Variable('y')


def count(*nodes: Node) -> int:
    return len(ad.topological_sort(nodes))


@pytest.mark.parametrize(
    ('a', 'b'),
    [
        (ad.sin(x), ad.sin(x)),
        (x + y, y + x),
        (x[1:, ..., None], x[1:, ..., None]),
        (ad.sum(x, [0, 1]), ad.sum(x, (0, 1))),
        (x * math.nan, x * math.nan),
        (ad.exp(ad.sin(x) + 1), ad.exp(ad.sin(x) + 1)),
        (ad.where(x, 1.0, y), ad.where(x, 1.0, y)),
        (ad.add(x, ad.constant(2.0)), ad.add(x, ad.constant(2.0))),
    ],
)
def test_equal_nodes_become_one(a: Node, b: Node):
    first, second = shared([a, b]).nodes
    assert first is second
    assert first is a


@pytest.mark.parametrize(
    ('a', 'b'),
    [
        (x - y, y - x),
        (x * 1, x * 1.0),
        (x * 1, x * True),
        (x + 0.0, x + -0.0),
        (x * y, y * x),  # complex products may depend on the order
        (ad.maximum(x, y), ad.maximum(y, x)),  # 0.0 and -0.0
        (ad.sub(x, 2), ad.sub(2, x)),
        (ad.sum(x, 0), ad.sum(x, 0, keepdim=True)),
        (ad.alias(x), ad.alias(x)),
        (drawn_normal(x, seed=1), drawn_normal(x, seed=1)),
        (dropout_mask(x), dropout_mask(x)),
        (ad.Variable('x'), ad.Variable('x')),
        (ad.constant(torch.ones(2)), ad.constant(torch.ones(2))),
        (ad.constant(1), ad.constant(1.0)),
    ],
)
def test_different_values_stay_apart(a: Node, b: Node):
    assert shared([a, b]).nodes == [a, b]


def test_real_products_do_not_depend_on_the_order():
    a, b = (ad.Variable(n, dtype=torch.float32) for n in 'ab')
    first, second = shared([a * b, b * a]).nodes
    assert first is second


def test_the_first_of_equal_nodes_stays_with_its_name():
    named, plain = Node([x], ad.sin, name='wave'), ad.sin(x)
    assert [str(n) for n in shared([named, plain, plain + 1]).nodes] == ['wave', 'wave', 'add(wave, 1)']
    assert shared([plain, named]).nodes == [plain, plain]


def test_graph_without_equal_nodes_is_returned_as_it_is():
    z = ad.sin(x) + ad.cos(x)
    assert shared([z]).nodes == [z]


def test_equal_nodes_in_bodies_are_merged():
    body = Body([x], [ad.sin(x) * ad.sin(x)])

    class Apply(ad.Op):
        """The body, applied."""

        def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return node.attrs['bodies'][0].run(input_values)[0]

    (made,) = shared([Apply()(y, bodies=(body,))]).nodes
    (inner,) = made.attrs['bodies']
    assert count(*inner.outputs) == 3
    (value,) = ad.Evaluator([made]).run({y: torch.tensor(1.0)})
    assert value == torch.sin(torch.tensor(1.0)) ** 2


def test_a_hundred_thousand_nodes_deep():
    a = b = x
    for _ in range(50_000):
        a, b = ad.sin(a), ad.sin(b)
    assert count(*shared([a + b]).nodes) == 50_002
