"""Nodes: fields, names, operators, immutability."""

import pytest
import torch

import adjoint as ad

x, y = ad.Variable('x'), ad.Variable('y')


def value_of(node: ad.Node, **values: torch.Tensor) -> torch.Tensor:
    given = {n: values[n.name] for n in ad.topological_sort(node) if n.op is ad.placeholder}
    return ad.Evaluator([node]).run(given)[0]


def test_a_node_has_the_fields_of_the_contract() -> None:
    node = ad.Node([x], ad.sin, {'constant': 3}, name='s')
    assert node.inputs == [x]
    assert isinstance(node.inputs, list)
    assert node.op is ad.sin
    assert node.attrs == {'constant': 3}
    assert node.name == str(node) == 's'
    assert node.constant == 3


def test_each_node_has_attrs_of_its_own() -> None:
    shared = {'constant': 1}
    a, b = ad.Node([x], ad.sin, shared), ad.Node([x], ad.sin)
    shared['constant'] = 2
    assert a.attrs == {'constant': 1}
    assert ad.Node([x], ad.sin).attrs is not b.attrs


def test_a_missing_attribute_is_both_an_attribute_and_a_key_error() -> None:
    for kind in (AttributeError, KeyError, ad.NoSuchAttribute):
        with pytest.raises(kind, match="node 'x' of op placeholder has no attribute 'constant'"):
            _ = x.constant
    assert not hasattr(x, 'constant')


def test_names_are_bounded_however_the_graph_grows() -> None:
    node = x
    for _ in range(200):
        node = node * node + node
    assert len(str(node)) <= 40
    assert str(ad.sin(x) * y) == 'mul(sin, y)'
    assert str(2 / x) == 'div(2, x)'
    assert str(ad.Variable()) == 'variable'


def test_a_node_cannot_be_changed() -> None:
    for name in ('op', 'inputs', 'name', 'anything'):
        with pytest.raises(AttributeError, match='a node never changes'):
            setattr(x, name, None)
    with pytest.raises(AttributeError, match='cannot be deleted'):
        del x.op


def test_nodes_compare_by_identity_and_are_keys() -> None:
    a, b = ad.sin(x), ad.sin(x)
    assert a != b
    assert a == a  # noqa: PLR0124 what is tested
    assert {a: 1, b: 2}[a] == 1


@pytest.mark.parametrize(
    'build',
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
    ],
)
def test_operators_take_nodes_numbers_and_tensors_on_either_side(build: object) -> None:
    a, b = torch.tensor([1.5, 2.0, 3.0]), torch.tensor([3.0, 2.0, 0.5])
    expected = build(a, b)
    for node in (build(x, y), build(x, b), build(a, y)):
        assert torch.equal(value_of(node, x=a, y=b), expected)
    assert torch.equal(value_of(build(x, 2), x=a), build(a, 2))
    assert torch.equal(value_of(build(2, x), x=a), build(2, a))
    assert torch.equal(value_of(build(x, 2.5), x=a), build(a, 2.5))


def test_matmul_unary_and_index_operators() -> None:
    a, b = torch.randn(3, 4), torch.randn(4, 2)
    assert torch.equal(value_of(x @ y, x=a, y=b), a @ b)
    assert torch.equal(value_of(a @ y, y=b), a @ b)
    assert torch.equal(value_of(-x, x=a), -a)
    assert (+x) is x
    assert torch.equal(value_of(abs(x), x=a), abs(a))
    assert torch.equal(value_of(x[1:, ::2], x=a), a[1:, ::2])
    assert torch.equal(value_of(x.T, x=a), a.T)
    assert torch.equal(value_of(x.mT, x=a), a.mT)


def test_numbers_keep_the_dtype_that_torch_gives() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64):
        a = torch.tensor([1, 2], dtype=dtype)
        for number in (2, 2.5):
            assert value_of(x * number, x=a).dtype == (a * number).dtype
            assert value_of(x * True, x=a).dtype == a.dtype
            assert value_of(number - x, x=a).dtype == (a * number).dtype
    assert value_of(x * 1j, x=torch.ones(2)).dtype == torch.complex64


def test_a_node_is_no_python_value() -> None:
    uses = (bool, float, int, complex, lambda n: [1, 2][n], lambda n: 3 in n, lambda n: n.item())
    for use in uses:
        with pytest.raises(ad.TensorTypeError, match='not computed yet'):
            use(x)


def test_iteration_needs_a_known_size_and_unpacks_rows() -> None:
    a, b = ad.Variable('m', shape=(2, 3))
    assert [str(n) for n in (a, b)] == ['getitem(m, index=(0,))', 'getitem(m, index=(1,))']
    assert len(ad.Variable('m', shape=(2, 3))) == 2
    with pytest.raises(ad.TensorTypeError, match='not known before the run'):
        list(x)
    with pytest.raises(ad.TensorTypeError, match='no axes'):
        len(ad.Variable('s', shape=()))


def test_an_input_that_is_no_node_is_refused() -> None:
    with pytest.raises(ad.TensorTypeError, match='an input of <Op sin> is 3 of type int'):
        ad.Node([3], ad.sin)


@pytest.mark.parametrize(
    ('operand', 'message'),
    [
        ('x', r"got 'x' of type str; a variable of that name is made by Variable\('x'\)"),
        ([1.0, 2.0], r'type list; make a tensor of it with torch.tensor\(...\)'),
        (None, 'got None of type NoneType'),
        (torch.ones(2).numpy(), r'type ndarray; convert it with torch.as_tensor\(...\)'),
    ],
)
def test_a_bad_operand_shows_what_came_and_the_line(operand: object, message: str) -> None:
    with pytest.raises(ad.TensorTypeError, match=message) as caught:
        ad.sin(operand)
    assert 'test_node.py' in str(caught.value)
    assert 'ad.sin(operand)' in str(caught.value)


def test_the_location_is_the_line_of_the_user() -> None:
    node = ad.softmax(ad.sin(x) * 2)
    assert node.location.file == __file__
    assert node.location.text == 'node = ad.softmax(ad.sin(x) * 2)'
    assert node.location.function == 'test_the_location_is_the_line_of_the_user'
    inner = node.inputs[0]
    text, start, end = inner.location.text, inner.location.start, inner.location.end
    assert text[start:end] == 'ad.sin(x) * 2'


def test_gradient_nodes_carry_the_line_of_what_they_are_the_derivative_of() -> None:
    a = ad.sin(x)
    b = a * a
    (g,) = ad.gradients(b, [x])
    lines = {a.location.line, b.location.line}
    made = [n for n in ad.topological_sort(g) if n.op.name in {'cos', 'mul'}]
    assert made
    assert {n.location.line for n in made} <= lines
