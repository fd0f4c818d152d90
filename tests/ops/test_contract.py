"""Every row of the contract: how an op is called, its value, its derivatives, its rule."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint import Node
from tests.ops.case import spread, t

Tensors = list[torch.Tensor]

X = spread(2, 3, low=0.31, high=2.43)
Y = spread(2, 3, low=0.42, high=2.17, seed=3)
ROW, COLUMN = spread(3, seed=1), spread(2, 1, seed=2)
LEFT, RIGHT = spread(2, 3), spread(3, 4, seed=1)
CUBE = spread(2, 3, 4)


def run(nodes: list[Node], feed: dict[Node, torch.Tensor]) -> Tensors:
    return ad.Evaluator(nodes).run(feed)


def norm(x: torch.Tensor, axes: int, eps: float = 1e-5) -> torch.Tensor:
    return F.layer_norm(x, x.shape[x.ndim - axes :], eps=eps)


# name: how it is called, what torch does, the operands.
FORMS: dict[str, tuple[Callable[..., Node], Callable[..., torch.Tensor], Tensors]] = {
    'add': (ad.add, torch.add, [X, Y]),
    'add, broadcast': (ad.add, torch.add, [X, ROW]),
    'sub': (ad.sub, torch.sub, [X, Y]),
    'sub, broadcast': (ad.sub, torch.sub, [COLUMN, X]),
    'mul': (ad.mul, torch.mul, [X, Y]),
    'mul, broadcast': (ad.mul, torch.mul, [COLUMN, ROW]),
    'div': (ad.div, torch.div, [X, Y]),
    'div, broadcast': (ad.div, torch.div, [t(0.7), X]),
    'add_by_const': (lambda a: ad.add_by_const(a, 2.5), lambda a: a + 2.5, [X]),
    'mul_by_const': (lambda a: ad.mul_by_const(a, -2), lambda a: a * -2, [X]),
    'div_by_const': (lambda a: ad.div_by_const(a, 4), lambda a: a / 4, [X]),
    'sum_op, an axis': (lambda a: ad.sum_op(a, 1), lambda a: a.sum(1), [CUBE]),
    'sum_op, keyword': (lambda a: ad.sum_op(a, dim=1), lambda a: a.sum(1), [CUBE]),
    'sum_op, axes': (lambda a: ad.sum_op(a, dim=(0, 2)), lambda a: a.sum((0, 2)), [CUBE]),
    'sum_op, kept': (lambda a: ad.sum_op(a, dim=-1, keepdim=True), lambda a: a.sum(-1, True), [CUBE]),
    'sum_op, axes kept': (lambda a: ad.sum_op(a, (0, 1), True), lambda a: a.sum((0, 1), True), [CUBE]),
    'mean, an axis': (lambda a: ad.mean(a, 1), lambda a: a.mean(1), [CUBE]),
    'mean, axes': (lambda a: ad.mean(a, dim=(0, 2)), lambda a: a.mean((0, 2)), [CUBE]),
    'mean, kept': (lambda a: ad.mean(a, dim=-1, keepdim=True), lambda a: a.mean(-1, True), [CUBE]),
    'log': (ad.log, torch.log, [X]),
    'sqrt': (ad.sqrt, torch.sqrt, [X]),
    'power': (lambda a: ad.power(a, 3), lambda a: a**3, [X]),
    'power, fraction': (lambda a: ad.power(a, 0.5), lambda a: a**0.5, [X]),
    'power, node': (ad.power, torch.pow, [X, Y]),
    'relu': (ad.relu, torch.relu, [LEFT]),
    'transpose': (lambda a: ad.transpose(a, 0, 1), lambda a: a.transpose(0, 1), [CUBE]),
    'transpose, keywords': (lambda a: ad.transpose(a, dim0=-1, dim1=0), lambda a: a.transpose(-1, 0), [CUBE]),
    'matmul': (ad.matmul, torch.matmul, [LEFT, RIGHT]),
    'matmul, vectors': (ad.matmul, torch.matmul, [ROW, ROW * 2 + 1]),
    'matmul, batch and matrix': (ad.matmul, torch.matmul, [CUBE, spread(4, 2)]),
    'matmul, batch and vector': (ad.matmul, torch.matmul, [CUBE, spread(4)]),
    'matmul, batches': (ad.matmul, torch.matmul, [spread(2, 1, 2, 3), spread(3, 3, 2)]),
    'softmax': (ad.softmax, lambda a: a.softmax(-1), [CUBE]),
    'softmax, positional': (lambda a: ad.softmax(a, 1), lambda a: a.softmax(1), [CUBE]),
    'softmax, keyword': (lambda a: ad.softmax(a, dim=0), lambda a: a.softmax(0), [CUBE]),
    'layernorm': (lambda a: ad.layernorm(a, (4,)), lambda a: norm(a, 1), [CUBE]),
    'layernorm, two axes': (lambda a: ad.layernorm(a, normalized_shape=[3, 4]), lambda a: norm(a, 2), [CUBE]),
    'layernorm, other sizes': (lambda a: ad.layernorm(a, (7, 9)), lambda a: norm(a, 2), [CUBE]),
    'layernorm, eps': (lambda a: ad.layernorm(a, (4,), eps=0.1), lambda a: norm(a, 1, 0.1), [CUBE]),
    'matmul_layernorm': (
        lambda a, b: ad.matmul_layernorm(a, b, (4,)),
        lambda a, b: norm(a @ b, 1),
        [LEFT, RIGHT],
    ),
    'matmul_layernorm, eps': (
        lambda a, b: ad.matmul_layernorm(a, b, normalized_shape=(2, 4), eps=0.1),
        lambda a, b: norm(a @ b, 2, 0.1),
        [LEFT, RIGHT],
    ),
    'matmul_softmax': (ad.matmul_softmax, lambda a, b: (a @ b).softmax(-1), [LEFT, RIGHT]),
    'matmul_softmax, dim': (
        lambda a, b: ad.matmul_softmax(a, b, dim=0),
        lambda a, b: (a @ b).softmax(0),
        [LEFT, RIGHT],
    ),
    'broadcast, new axis': (
        lambda a: ad.broadcast(a, [3, 2], [2, 3, 2]),
        lambda a: a.expand(2, 3, 2),
        [spread(3, 2)],
    ),
    'broadcast, stretched': (
        lambda a: ad.broadcast(a, input_shape=[1, 5], target_shape=[3, 5]),
        lambda a: a.expand(3, 5),
        [spread(1, 5)],
    ),
    'broadcast, both': (
        lambda a: ad.broadcast(a, (2, 1, 3), (4, 2, 2, 3)),
        lambda a: a.expand(4, 2, 2, 3),
        [spread(2, 1, 3)],
    ),
}

# Ops through which nothing flows to some operands: the value, and which operands those are.
CUT: dict[str, tuple[Callable[..., Node], Callable[..., torch.Tensor], Tensors, list[int]]] = {
    'greater': (ad.greater, lambda a, b: (a > b).double(), [X, Y], [0, 1]),
    'greater, broadcast': (ad.greater, lambda a, b: (a > b).double(), [X, ROW], [0, 1]),
    'zeros_like': (ad.zeros_like, torch.zeros_like, [X], [0]),
    'ones_like': (ad.ones_like, torch.ones_like, [X], [0]),
    'expand_as, row': (ad.expand_as, lambda a, b: a.expand(b.shape), [ROW, X], [1]),
    'expand_as, column': (ad.expand_as, lambda a, b: a.expand(b.shape), [COLUMN, X], [1]),
    'expand_as, new axis': (ad.expand_as, lambda a, b: a.expand(b.shape), [spread(3, 1), CUBE], [1]),
    'expand_as, 0-d': (ad.expand_as, lambda a, b: a.expand(b.shape), [t(0.7), CUBE], [1]),
}
for _a, _b in [
    ((2, 4), (2, 3, 4)),
    ((2, 1), (2, 3, 4)),
    ((1, 4), (2, 3, 4)),
    ((3, 3), (3, 3, 3)),
    ((2,), (2, 5)),
]:
    CUT[f'expand_as_3d, {_a} to {_b}'] = (
        ad.expand_as_3d,
        lambda a, b: a.unsqueeze(1).expand(b.shape),
        [spread(*_a), spread(*_b)],
        [1],
    )

CLASSES = [
    ('AddOp', 'add'),
    ('SubOp', 'sub'),
    ('MulOp', 'mul'),
    ('DivOp', 'div'),
    ('AddByConstOp', 'add_by_const'),
    ('MulByConstOp', 'mul_by_const'),
    ('DivByConstOp', 'div_by_const'),
    ('GreaterThanOp', 'greater'),
    ('ZerosLikeOp', 'zeros_like'),
    ('OnesLikeOp', 'ones_like'),
    ('SumOp', 'sum_op'),
    ('MeanOp', 'mean'),
    ('ExpandAsOp', 'expand_as'),
    ('ExpandAsOp3d', 'expand_as_3d'),
    ('BroadcastOp', 'broadcast'),
    ('LogOp', 'log'),
    ('SqrtOp', 'sqrt'),
    ('PowerOp', 'power'),
    ('ReLUOp', 'relu'),
    ('TransposeOp', 'transpose'),
    ('MatMulOp', 'matmul'),
    ('SoftmaxOp', 'softmax'),
    ('LayerNormOp', 'layernorm'),
    ('MatMulLayerNormOp', 'matmul_layernorm'),
    ('MatMulSoftmaxOp', 'matmul_softmax'),
    ('PlaceholderOp', 'placeholder'),
]


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def variables(values: Tensors) -> dict[Node, torch.Tensor]:
    return {ad.Variable(f'x{n}'): value for n, value in enumerate(values)}


def cotangent(value: torch.Tensor) -> torch.Tensor:
    """Not all ones: a sum of what a softmax or layernorm gives is constant."""
    return spread(*value.shape, seed=11)


@pytest.mark.parametrize('form', FORMS)
def test_value_is_that_of_torch(form: str) -> None:
    build, reference, values = FORMS[form]
    feed = variables(values)
    close(run([build(*feed)], feed)[0], reference(*values))


@pytest.mark.parametrize('form', FORMS)
def test_first_and_second_order_are_those_of_torch(form: str) -> None:
    build, reference, values = FORMS[form]
    feed = variables(values)
    leaves = [v.clone().requires_grad_() for v in values]
    weights = cotangent(reference(*values))
    loss = ad.sum(ad.square(build(*feed)) * weights)
    wanted_loss = (reference(*leaves) ** 2 * weights).sum()

    first = ad.gradients(loss, list(feed))
    wanted_first = torch.autograd.grad(wanted_loss, leaves, create_graph=True)
    slope = ad.sum(first[0] * ad.constant(cotangent(values[0])))
    for g in first[1:]:
        slope = slope + ad.sum(g * g)
    wanted_slope = (wanted_first[0] * cotangent(values[0])).sum()
    for wanted in wanted_first[1:]:
        wanted_slope = wanted_slope + (wanted * wanted).sum()
    second = ad.gradients(slope, list(feed))
    wanted_second = torch.autograd.grad(wanted_slope, leaves)

    wanted_all = [*(w.detach() for w in wanted_first), *wanted_second]
    for got, wanted in zip(run([*first, *second], feed), wanted_all, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('form', FORMS)
def test_rule_returns_one_node_an_operand(form: str) -> None:
    build, reference, values = FORMS[form]
    feed = variables(values)
    y, g = build(*feed), ad.Variable('g')
    assert y.inputs == list(feed)
    returned = y.op.gradient(y, g)
    assert len(returned) == len(values)
    assert all(isinstance(c, Node) for c in returned)
    leaves = [v.clone().requires_grad_() for v in values]
    out = reference(*leaves)
    ct = cotangent(out)
    wanted = torch.autograd.grad(out, leaves, ct)
    for got, w, value in zip(run(returned, {**feed, g: ct}), wanted, values, strict=True):
        assert got.shape == value.shape
        close(got, w)


@pytest.mark.parametrize('form', CUT)
def test_where_nothing_flows_the_rule_returns_zeros(form: str) -> None:
    build, reference, values, cut = CUT[form]
    feed = variables(values)
    y, g = build(*feed), ad.Variable('g')
    assert y.inputs == list(feed)
    wanted = reference(*values)
    close(run([y], feed)[0], wanted)
    returned = y.op.gradient(y, g)
    assert len(returned) == len(values)
    got = run(returned, {**feed, g: cotangent(wanted)})
    leaves = [v.clone().requires_grad_() for v in values]
    flowing = [n for n in range(len(values)) if n not in cut]
    expected = [torch.zeros_like(v) for v in values]
    for n in flowing:
        expected[n] = torch.autograd.grad(reference(*leaves), leaves[n], cotangent(wanted))[0]
    for c, e in zip(got, expected, strict=True):
        close(c, e)


@pytest.mark.parametrize('form', CUT)
def test_gradients_by_what_nothing_flows_to_are_zeros_of_its_shape(form: str) -> None:
    build, _, values, cut = CUT[form]
    feed = variables(values)
    got = run(ad.gradients(build(*feed), nodes=list(feed)), feed)
    for n in cut:
        close(got[n], torch.zeros_like(values[n]))


@pytest.mark.parametrize(('cls', 'name'), CLASSES)
def test_classes_have_the_names_of_the_contract(cls: str, name: str) -> None:
    assert isinstance(getattr(ad, name), getattr(ad, cls))


@pytest.mark.parametrize(
    ('op', 'python'),
    [
        (ad.add_by_const, lambda a: a + 2.5),
        (ad.mul_by_const, lambda a: a * 2.5),
        (ad.div_by_const, lambda a: a / 2.5),
    ],
    ids=['add', 'mul', 'div'],
)
def test_constant_is_kept_in_attrs(op: ad.Op, python: Callable[[Any], Node]) -> None:
    x = ad.Variable('x')
    for node in (op(x, 2.5), python(x)):
        assert node.attrs['constant'] == node.constant == 2.5
        assert node.inputs == [x]


def test_node_is_of_the_op_or_of_the_general_one() -> None:
    x = ad.Variable('x')
    for op in (ad.add_by_const, ad.mul_by_const, ad.div_by_const):
        assert isinstance(op, type(op(x, 3).op))
    assert ad.sum_op(x, 0).op is ad.sum_op
    assert ad.power(x, 2).op is ad.power
    assert x.op is ad.placeholder


@pytest.mark.parametrize('typed', [False, True], ids=['untyped', 'typed'])
@pytest.mark.parametrize(
    ('fused', 'pair'),
    [
        (lambda a, b: ad.matmul_layernorm(a, b, (4,)), lambda a, b: ad.layernorm(ad.matmul(a, b), (4,))),
        (ad.matmul_softmax, lambda a, b: ad.softmax(ad.matmul(a, b))),
        (lambda a, b: ad.matmul_softmax(a, b, 0), lambda a, b: ad.softmax(ad.matmul(a, b), 0)),
    ],
    ids=['layernorm', 'softmax', 'softmax over rows'],
)
def test_fused_op_equals_the_pair(fused: Callable[..., Node], pair: Callable[..., Node], typed: bool) -> None:
    known = {'dtype': torch.float64} if typed else {}
    a = ad.Variable('a', (2, 3) if typed else None, **known)
    b = ad.Variable('b', (3, 4) if typed else None, **known)
    weights = ad.constant(spread(2, 4, seed=9))
    nodes: list[Node] = []
    for build in (fused, pair):
        y = build(a, b)
        nodes += [y, *ad.gradients(y * weights, [a, b])]
    found = run(nodes, {a: LEFT, b: RIGHT})
    for got, wanted in zip(found[:3], found[3:], strict=True):
        close(got, wanted)


def test_softmax_is_stable() -> None:
    x = ad.Variable('x')
    (got,) = run([ad.softmax(x)], {x: t([1000.0, 1000.0, -1000.0])})
    close(got, t([0.5, 0.5, 0.0]))


@pytest.mark.parametrize('form', [f for f, _ in itertools.groupby(FORMS)])
def test_weight_used_on_a_batch_gets_a_gradient_of_its_own_shape(form: str) -> None:
    build, _, values = FORMS[form]
    feed = variables(values)
    for g, value in zip(run(ad.gradients(build(*feed), list(feed)), feed), values, strict=True):
        assert g.shape == value.shape
        assert g.dtype == value.dtype
