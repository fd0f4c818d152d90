"""Sparsity patterns, their colourings, and the derivatives that are computed with them."""

import itertools
from collections.abc import Callable, Iterator

import optree
import pytest
import torch
from scipy import sparse

import adjoint as ad
from adjoint.autodiff.colouring import column_colours, star_colours, star_source
from adjoint.autodiff.reverse import cotangents
from adjoint.verify.samples import Arguments, as_sample
from tests.ops.cases import CASES


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variable(*shape: int) -> ad.Node:
    return ad.Variable('x', shape, torch.float64)


BANDED = torch.diag(drawn(6)) + torch.diag(drawn(5, seed=1), 1)

# A function, the shape of its argument, and how many entries its Jacobian has.
FUNCTIONS: list[tuple[Callable[[ad.Node], ad.Node], tuple[int, ...], int]] = [
    (ad.sin, (5,), 5),
    (lambda x: x[1:] * x[:-1], (5,), 8),
    (lambda x: x * torch.ones(3, 1, dtype=torch.float64), (2,), 6),
    (lambda x: ad.transpose(x, 0, 1) * 2, (2, 3), 6),
    (lambda x: ad.sum(x, 0), (3, 2), 6),
    (lambda x: ad.mean(x, (0, 2)), (2, 3, 2), 12),
    (lambda x: ad.logsumexp(x, 1, keepdim=True), (2, 3), 6),
    (lambda x: ad.softmax(x, -1), (2, 3), 18),
    (lambda x: ad.cumsum(x, 0), (3, 2), 18),
    (lambda x: ad.layernorm(x, (2,)), (3, 2), 12),
    (lambda x: torch.ones(2, 3, dtype=torch.float64) @ x, (3, 2), 12),
    (lambda x: BANDED @ x, (6,), 11),
    (lambda x: x @ BANDED, (2, 6), 22),
    (lambda x: BANDED @ x, (6, 2), 22),
    (lambda x: x @ x, (2, 2), 12),
    (lambda x: x @ ad.sin(x[0]), (3, 2), 10),
    (lambda x: ad.getitem(x, torch.tensor([2, 0, 2])) ** 2, (4,), 3),
    (lambda x: ad.gather(x, 0, torch.tensor([[1, 0], [1, 1]])), (2, 2), 4),
    (lambda x: ad.index_add(ad.zeros_like(x[:2]), 0, torch.tensor([0, 1, 1, 0]), x), (4,), 4),
    (lambda x: ad.cat([ad.flip(x, (0,)), x * x]), (3,), 6),
    (lambda x: ad.where(x > 0, ad.sin(x), 0), (3,), 3),
    (lambda x: ad.tril(x), (3, 3), 6),
    (lambda x: ad.stack([x[0], x[1] * x[2]]), (3,), 3),
    (lambda x: ad.floor(x) + ad.detach(x), (3,), 0),
    (lambda x: x[:0], (3,), 0),
    (lambda x: ad.sum(x), (), 1),
    (lambda x: torch.conv1d(x, torch.ones(1, 1, 3, dtype=torch.float64)), (2, 1, 6), 24),
    (
        lambda x: torch.conv2d(x, torch.ones(4, 1, 2, 2, dtype=torch.float64), stride=2, groups=2),
        (1, 2, 4, 4),
        64,
    ),
]


@pytest.mark.parametrize(('function', 'shape', 'entries'), FUNCTIONS)
def test_the_pattern_has_the_entries_of_the_jacobian_and_no_others(
    function: Callable[[ad.Node], ad.Node], shape: tuple[int, ...], entries: int
) -> None:
    x = variable(*shape)
    y = function(x)
    found = ad.sparsity(y, x)
    assert found.shape == (*y.shape, *shape)
    assert found.values().numel() == entries
    value = drawn(*shape)
    moved = torch.zeros(found.shape, dtype=torch.bool)
    for place in itertools.product(*map(range, shape)):
        moved[(..., *place)] = dependence(y, x, value, place)
    # What depends smoothly is in the pattern; the steps of the table depend, and have no derivative.
    smooth = ad.explain_connection(y, x) or entries
    assert not smooth or not bool((moved & ~found.to_dense()).any())


def dependence(y: ad.Node, x: ad.Node, value: torch.Tensor, place: tuple[int, ...]) -> torch.Tensor:
    """Which entries change with one entry of the argument, by a little."""
    other = value.clone()
    other[place] += 1e-3
    evaluator = ad.Evaluator([y])
    (first,), (second,) = evaluator.run({x: value}), evaluator.run({x: other})
    return first != second


@pytest.mark.parametrize('mode', [None, 'forward', 'reverse'])
@pytest.mark.parametrize(('function', 'shape', 'entries'), FUNCTIONS)
def test_a_sparse_jacobian_is_the_dense_one(
    function: Callable[[ad.Node], ad.Node], shape: tuple[int, ...], entries: int, mode: str | None
) -> None:
    x = variable(*shape)
    y = function(x)
    found = ad.sparse_jacobian(y, x, mode)
    value = drawn(*shape, seed=3)
    values, tensor = ad.Evaluator([found.values, found.tensor]).run({x: value})
    assert values.shape == (entries,)
    torch.testing.assert_close(tensor.to_dense(), dense(y, x, value), rtol=1e-12, atol=1e-14)


def dense(y: ad.Node, x: ad.Node, value: torch.Tensor) -> torch.Tensor:
    """The Jacobian, one entry of the value after the other."""
    rows = [ad.gradients(ad.reshape(y, (-1,))[i], [x])[0] for i in range(y.numel())]
    found = ad.Evaluator(rows).run({x: value})
    return torch.stack([*found, value * 0])[:-1].reshape((*y.shape, *value.shape))


def scalars() -> Iterator[tuple[str, Callable[[ad.Node], ad.Node], int]]:
    yield 'tridiagonal', lambda x: ad.sum(ad.sin(x[1:] * x[:-1])), 3
    yield 'arrow', lambda x: ad.sum(x[0] * ad.square(x)), 2
    yield 'diagonal', lambda x: ad.sum(ad.exp(x)), 1
    yield 'linear', lambda x: ad.sum(x), 0
    yield 'dense', lambda x: ad.square(ad.sum(ad.sin(x))), 7
    yield 'two arrows', lambda x: ad.sum(x[0] * ad.square(x)) + ad.sum(x[6] * ad.sin(x)), 3
    yield 'blocks', lambda x: ad.square(ad.sum(x[:3])) + ad.exp(ad.sum(x[3:])), 4


@pytest.mark.parametrize(('name', 'function', 'products'), list(scalars()))
def test_a_sparse_hessian_is_the_dense_one(
    name: str, function: Callable[[ad.Node], ad.Node], products: int
) -> None:
    x = variable(7)
    y = function(x)
    found = ad.sparse_hessian(y, x)
    value = drawn(7, seed=4)
    (tensor,) = ad.Evaluator([found.tensor]).run({x: value})
    gradient = ad.gradients(y, [x])[0]
    torch.testing.assert_close(tensor.to_dense(), dense(gradient, x, value), rtol=1e-12, atol=1e-14)
    assert found.products == products, name


def test_a_tridiagonal_jacobian_of_a_hundred_thousand_takes_three_products() -> None:
    n = 100_000
    x = variable(n)
    edge = torch.zeros(1, dtype=torch.float64)
    y = ad.sin(x) * 2 - ad.cat([x[1:], edge]) * ad.cat([edge, x[:-1]])
    found = ad.sparse_jacobian(y, x)
    assert found.products == 3
    value = drawn(n)
    (values,) = ad.Evaluator([found.values]).run({x: value})
    rows, columns = found.indices
    after, before = torch.cat([value[1:], edge]), torch.cat([edge, value[:-1]])
    wanted = torch.where(
        rows == columns, 2 * torch.cos(value)[rows], torch.where(columns > rows, -before[rows], -after[rows])
    )
    torch.testing.assert_close(values, wanted, rtol=1e-13, atol=0)


def test_the_values_are_a_node_to_be_differentiated() -> None:
    x = variable(5)
    found = ad.sparse_jacobian(ad.sin(x[1:] * x[:-1]), x)
    (by_x,) = ad.gradients(ad.sum(ad.square(found.values)), [x])
    value = drawn(5)
    (ours,) = ad.Evaluator([by_x]).run({x: value})
    leaf = value.clone().requires_grad_()

    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x[1:] * x[:-1])

    jacobian = torch.autograd.functional.jacobian(function, leaf, create_graph=True)
    (wanted,) = torch.autograd.grad((jacobian**2).sum(), leaf)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-14)


SMALL = 40


@pytest.mark.parametrize('name', CASES)
def test_no_op_of_the_battery_has_an_entry_outside_of_its_pattern(name: str) -> None:
    for given in map(as_sample, CASES[name].samples[:3]):
        arguments = Arguments(given, wide=False)
        variables = arguments.variables('typed')
        feed = dict(zip(variables, arguments.values, strict=True))
        for y in optree.tree_leaves(arguments.call(CASES[name].build, variables)):
            if not isinstance(y, ad.Node) or y.type is None or not y.type.is_static:
                continue
            for x, value in feed.items():
                if {y.type.dtype, value.dtype} == {torch.float64} and max(y.numel(), value.numel()) <= SMALL:
                    check_entries(y, x, feed)


def check_entries(y: ad.Node, x: ad.Node, feed: dict[ad.Node, torch.Tensor]) -> None:
    """Compare the pattern with the entries of the Jacobian that are not zero."""
    ct = ad.Variable('ct', y.shape, torch.float64)
    (pulled,) = cotangents({y: ct}, [x])
    if pulled is None:
        assert ad.sparsity(y, x).values().numel() == 0 or y.op.nothing == 'zero'
        return
    evaluator = ad.Evaluator([pulled])
    units = torch.eye(y.numel(), dtype=torch.float64).reshape((y.numel(), *y.shape))
    rows = [evaluator.run({**feed, ct: unit})[0].nan_to_num(0) != 0 for unit in units]
    if rows:
        found = torch.stack(rows).reshape((*y.shape, *x.shape))
        assert not bool((found & ~ad.sparsity(y, x).to_dense()).any()), y


def random_pattern(rows: int, columns: int, seed: int) -> sparse.csr_array:
    generator = torch.Generator().manual_seed(seed)
    return sparse.csr_array((torch.rand(rows, columns, generator=generator) < 0.25).numpy())


@pytest.mark.parametrize('seed', range(30))
def test_columns_of_one_colour_share_no_row(seed: int) -> None:
    pattern = random_pattern(9, 12, seed)
    colours = column_colours(pattern)
    filled = pattern.toarray().any(0)
    assert ((colours >= 0).numpy() == filled).all()
    for colour in range(int(colours.max()) + 1):
        own = pattern.toarray()[:, (colours == colour).numpy()]
        assert own.sum(1).max() <= 1


@pytest.mark.parametrize('seed', range(30))
def test_a_star_colouring_tells_each_entry_from_the_products(seed: int) -> None:
    half = random_pattern(10, 10, seed).toarray()
    pattern = sparse.csr_array(half | half.T)
    colours = star_colours(pattern)
    numbers = drawn(10, 10, seed=seed)
    matrix = torch.where(torch.as_tensor(pattern.toarray()), numbers + numbers.mT, 0)
    products = [matrix @ (colours == c).double() for c in range(int(colours.max()) + 1)]
    rows, which = star_source(pattern, colours)
    found = torch.stack(products)[which, rows]
    places = pattern.tocoo()
    torch.testing.assert_close(found, matrix[places.row, places.col], rtol=0, atol=0)


def test_what_has_no_sizes_is_refused_with_the_way_out() -> None:
    x = ad.Variable('x', ('n',), torch.float64)
    with pytest.raises(ad.TensorTypeError, match='give each variable a shape of numbers'):
        ad.sparsity(ad.sin(x), x)
    x = variable(3)
    with pytest.raises(ad.ShapeError, match='a Hessian is that of a scalar'):
        ad.sparse_hessian(x, x)
    with pytest.raises(ad.TensorTypeError, match="got 'sideways'"):
        ad.sparse_jacobian(x, x, 'sideways')
    z = ad.Variable('z', (3,), torch.complex128)
    with pytest.raises(ad.NonDifferentiableError, match='real numbers'):
        ad.sparse_jacobian(z, z)
