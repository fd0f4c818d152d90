"""Value numbers: equal keys mean equal bits, and what may differ is never taken for one."""

import pytest
import torch

import adjoint as ad
from adjoint.core.node import Node
from adjoint.core.numbering import Numbering
from adjoint.ops.linear import alias
from adjoint.ops.random import drawn_normal

X = ad.Variable('x', ('n',), torch.float64)
Y = ad.Variable('y', ('n',), torch.float64)
Z = ad.Variable('z', ('n',), torch.complex128)
U, V = ad.Variable('u'), ad.Variable('v')
TENSOR = torch.ones(1)

SAME = {
    'unary': (ad.sin(X), ad.sin(X)),
    'deep': (ad.exp(ad.sin(X) * 2), ad.exp(ad.sin(X) * 2)),
    'sum': (X + Y, Y + X),
    'sum of any type': (U + V, V + U),
    'product': (X * Y, Y * X),
    'number on either side': (2 * X, X * 2),
    'list of axes': (ad.sum(X, [0]), ad.sum(X, [0])),
    'slice': (X[1:3], X[1:3]),
    'nan': (X * float('nan'), X * float('nan')),
    'one tensor': (X * TENSOR, X * TENSOR),
}  # fmt: skip

DIFFERENT = {
    'variables of one name': (ad.Variable('x'), ad.Variable('x')),
    'aliases': (alias(X), alias(X)),
    'draws': (drawn_normal(X, seed=1), drawn_normal(X, seed=1)),
    'difference': (X - Y, Y - X),
    'number on another side': (2 - X, X - 2),
    'complex product': (Z * X, X * Z),
    'product of any type': (U * V, V * U),
    'int and float': (U * 1, U * 1.0),
    'bool and int': (U + True, U + 1),
    'zeros': (X + 0.0, X + -0.0),
    'slice': (X[1:3], X[1:4]),
    'attr': (ad.sum(X, 0, keepdim=True), ad.sum(X, 0)),
    'equal tensors': (ad.constant(torch.ones(3)), ad.constant(torch.ones(3))),
    'operands': (ad.sin(X), ad.sin(Y)),
    'ops': (ad.sin(X), ad.cos(X)),
}


@pytest.mark.parametrize('name', SAME)
def test_the_same_op_of_the_same_operands_is_one_value(name: str) -> None:
    a, b = SAME[name]
    shared = Numbering()
    assert shared.of(a) is a
    assert shared.of(b) is a


@pytest.mark.parametrize('name', DIFFERENT)
def test_what_may_differ_stays_apart(name: str) -> None:
    a, b = DIFFERENT[name]
    shared = Numbering()
    assert shared.of(a) is a
    assert shared.of(b) is not a


def test_nodes_that_exist_stand_for_themselves_and_new_ones_for_the_first() -> None:
    first, second = ad.sin(X), ad.sin(X)
    shared = Numbering([X, first, second])
    assert shared.of(second) is second
    assert shared.of(ad.sin(X)) is first


def test_a_node_keeps_its_fields_when_its_operands_are_replaced() -> None:
    y = ad.sin(X)
    shared = Numbering([X, y])
    new = Node([ad.sin(X)], ad.cos, None, 'named')
    found = shared.of(new)
    assert found.inputs == [y]
    assert (found.name, found.type, found.site) == ('named', new.type, new.site)
    assert shared.of(found) is found


def test_a_node_of_another_type_is_kept() -> None:
    known = Node([U], ad.sin, type=ad.TensorType((3,), torch.float32))
    shared = Numbering([U, ad.sin(U)])
    assert shared.of(known) is known


def test_a_long_chain_is_numbered_without_recursion() -> None:
    shared = Numbering()
    first = second = U
    for _ in range(50_000):
        first, second = ad.sin(first), ad.sin(second)
    assert shared.of(first) is shared.of(second)


def test_what_is_not_shared_keeps_its_identity_over_shared_operands() -> None:
    first = ad.sin(X)
    apart = alias(ad.sin(X))
    shared = Numbering([X, first])
    assert shared.of(apart) is apart
    assert shared.of(ad.exp(apart)).inputs == [apart]
