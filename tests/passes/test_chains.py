"""Chains of products: their cheapest order, what is left alone, and how close the values stay."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import adjoint as ad
from adjoint.ops.diagonal import diag_embed
from adjoint.ops.ranges import eye
from adjoint.passes import chains
from adjoint.passes.chains import chained
from adjoint.passes.pipeline import Level
from adjoint.passes.walk import compatible

F64 = torch.float64
ENTRY, WORTH = 8, 1.25  # as the pass has them


def matrix(name: str, *shape: int, dtype: torch.dtype = F64) -> ad.Node:
    return ad.Variable(name, shape, dtype)


def ops_of(*nodes: ad.Node) -> Counter[str]:
    return Counter(n.op.name for n in ad.topological_sort(nodes) if n.op is not ad.placeholder)


def text(node: ad.Node) -> str:
    """The expression of a node, in full."""
    written: dict[ad.Node, str] = {}
    for n in ad.topological_sort(node):
        x = [written[i] for i in n.inputs]
        if n.op is ad.placeholder:
            written[n] = str(n)
        elif n.op is ad.matmul:
            written[n] = f'({x[0]} @ {x[1]})'
        elif n.op is ad.mul:
            written[n] = f'({x[0]} * {x[1]})' if len(x) > 1 else f'({n.attrs["constant"]} * {x[0]})'
        elif n.op is ad.div:
            written[n] = f'({n.attrs["constant"]} / {x[0]})' if len(x) == 1 else f'({x[0]} / {x[1]})'
        else:
            names = {'transpose': 'T', 'unsqueeze': '[..., None]', 'reshape': 'flat', 'diag_embed': 'diag'}
            written[n] = f'{x[0]}.{names[n.op.name]}' if x else n.op.name
    return written[node]


A, B, C = matrix('A', 30, 40), matrix('B', 40, 30), matrix('C', 30, 30)
u, v, w = matrix('u', 30), matrix('v', 30), matrix('w', 40)
d, column, s = matrix('d', 40), matrix('column', 40, 1), matrix('s')
batch, others, rows = matrix('batch', 5, 30, 40), matrix('others', 5, 40, 30), matrix('rows', 5, 40)
thin = matrix('thin', 30, 2)
ONE = eye(40, dtype=F64)

# What is written, and what is computed.
ORDERS: dict[str, tuple[ad.Node, str]] = {
    'two matrices and a vector': (A @ B @ v, '(A @ (B @ v))'),
    'a vector in front': (u @ (A @ B), '((u @ A) @ B)'),
    'a vector at both ends': (u @ (A @ B @ v), '(((u @ A) @ B) @ v)'),
    'a thin matrix in between': (thin @ (thin.T @ C), '(thin @ (thin.T @ C))'),
    'an outer product': (thin @ thin.T @ C, '(thin @ (thin.T @ C))'),
    'transposed as a whole': (ad.transpose(A @ B, 0, 1) @ v, '(B.T @ (A.T @ v))'),
    'a product as a vector': ((C @ C @ v) @ (A @ w), '(((v @ C.T) @ C.T) @ (A @ w))'),
    'batches': (batch @ others @ thin, '(batch @ (others @ thin))'),
    'one matrix for all of a batch': (C @ C @ C @ matrix('many', 500, 30, 4), '(((C @ C) @ C) @ many)'),
    'a diagonal': (A @ torch.diag(d) @ B, '((A * d) @ B)'),
    'a diagonal and a vector': (A @ torch.diag(d) @ A.T @ v, '(A @ (d * (A.T @ v)))'),
    'diagonals of a batch': (
        others @ C @ matrix('ends', 30, 40) @ torch.diag_embed(rows) @ matrix('last', 40, 1),
        '(others @ (C @ (ends @ (rows.[..., None].T * last))))',
    ),
    'two diagonals': (A @ torch.diag(d) @ torch.diag(w) @ B, '((A * (d * w)) @ B)'),
    'an identity': (A @ ONE @ B, '(A @ B)'),
    'an identity alone': (A @ ONE, 'A'),
    'a row on an identity': (A @ (ONE * d), '(A * d)'),
    'a column on an identity': ((ONE / column) @ B, '((1 / column) * B)'),
    'a number on an identity': (A @ (ONE * 0.5), '(0.5 * A)'),
    'rows that are scaled': ((A * d) @ (B @ v), '(A @ (d * (B @ v)))'),
    'columns that are scaled': (u @ (A @ (column * B)), '(((u @ A) * column.flat) @ B)'),
    'a number': ((s * (A @ B)) @ v, '(A @ (B @ (s * v)))'),
    'a divisor': (((A @ B) / 4.0) @ v, '(A @ (B @ (0.25 * v)))'),
    'a sign': (-(A @ B) @ v, '(A @ (B @ (-1.0 * v)))'),
}


def feed_of(node: ad.Node, seed: int = 0) -> dict[ad.Node, torch.Tensor]:
    """Values of both signs, none near zero: divisors too."""
    generator = torch.Generator().manual_seed(seed)
    feed: dict[ad.Node, torch.Tensor] = {}
    for n in ad.topological_sort(node):
        if n.op is ad.placeholder:
            value = torch.rand(n.shape, generator=generator, dtype=F64) + 0.5
            feed[n] = torch.where(torch.rand(n.shape, generator=generator) < 0.5, -value, value).to(n.dtype)
    return feed


def magnitude(node: ad.Node, feed: dict[ad.Node, torch.Tensor]) -> torch.Tensor:
    """The value that there would be without signs: what rounding errors of products are relative to."""
    values: dict[ad.Node, torch.Tensor] = {}
    for n in ad.topological_sort(node):
        value = feed[n] if n in feed else n.op.compute(n, [values[x] for x in n.inputs])
        values[n] = value.abs()
    return values[node]


def check_close(before: ad.Node, after: ad.Node, seed: int = 0) -> None:
    """See that a value differs by no more than both orders may round."""
    feed = feed_of(before, seed)
    old, new = (ad.Evaluator([n], executor='reference').run(feed)[0] for n in (before, after))
    assert (old.shape, old.dtype) == (new.shape, new.dtype)
    products = [n for n in ad.topological_sort([before, after]) if n.op is ad.matmul]
    steps = sum(n.inputs[0].shape[-1] for n in products) + len(ad.topological_sort([before, after]))
    bound = steps * torch.finfo(old.dtype).eps * magnitude(before, feed)
    assert ((old - new).abs() <= bound).all()


def flops(node: ad.Node) -> int:
    """What torch counts for the products of a run."""
    with FlopCounterMode(display=False) as counter:
        ad.Evaluator([node], executor='reference').run(feed_of(node))
    return counter.get_total_flops()


@pytest.mark.parametrize('name', ORDERS)
def test_cheapest_order(name: str):
    given, wanted = ORDERS[name]
    (found,) = chained([given]).nodes
    assert text(found) == wanted
    assert compatible(found.type, given.type)
    assert chained([found]).nodes == [found], 'a second time, there is nothing to do'
    for seed in range(3):
        check_close(given, found, seed)
    assert flops(found) <= flops(given)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_dtypes_of_ordinary_range(dtype: torch.dtype):
    a, x = matrix('a', 30, 30, dtype=dtype), matrix('x', 30, dtype=dtype)
    given = a @ torch.diag(x) @ a @ x
    (found,) = chained([given]).nodes
    assert text(found) == '(a @ (x * (a @ x)))'
    check_close(given, found)


def left_alone() -> dict[str, list[ad.Node]]:
    product, wide = A @ B, matrix('wide', 30, 30, dtype=torch.complex128)
    half, whole = matrix('half', 30, 30, dtype=torch.float16), matrix('whole', 30, 30, dtype=torch.int64)
    free = ad.Variable('free')
    return {
        'what others use': [product @ v, product @ C],
        'what is returned': [product, product @ v],
        'one order': [A @ B],
        'as cheap': [C @ C @ C],
        'hardly cheaper': [matrix('q', 30, 30) @ matrix('r', 30, 31) @ matrix('t', 31, 28)],
        'no types': [free @ free @ free],
        'sizes by name': [A @ B @ matrix('named', 30, 'n')],
        'batches times a vector, as rows': [batch @ w @ matrix('back', 30, 5) @ matrix('five', 5)],
        'complex': [wide @ wide @ matrix('z', 30, dtype=torch.complex128)],
        'of small range': [half @ half @ matrix('h', 30, dtype=torch.float16)],
        'integers': [whole @ whole @ matrix('i', 30, dtype=torch.int64)],
        'an off diagonal': [A @ torch.diag(matrix('short', 39), 1)],
        'no square': [A @ eye(40, 30, dtype=F64)],
        'a matrix that may be changed': [A @ torch.eye(40, dtype=F64)],
        'a factor of the same size': [(C * matrix('mask', 30, 30)) @ C],
        'a number for each of a batch': [(batch @ others * matrix('each', 5, 1, 1)) @ thin],
    }


@pytest.mark.parametrize('name', left_alone())
def test_left_alone(name: str):
    given = left_alone()[name]
    if name == 'batches times a vector, as rows':
        (found,) = chained(given).nodes  # what follows the vector may be ordered
        assert ops_of(found) == ops_of(*given)
        return
    assert chained(given).nodes == given


# -- against all orders ----------------------------------------------------------------------------


def cheapest(sizes: Sequence[int]) -> float:
    """The least cost of a chain of matrices, over all orders."""

    @cache
    def cost(i: int, j: int) -> float:
        if j - i == 1:
            return 0
        m, n = sizes[i], sizes[j]
        return min(
            cost(i, k) + cost(k, j) + m * sizes[k] * n + ENTRY * (m * sizes[k] + sizes[k] * n + m * n)
            for k in range(i + 1, j)
        )

    return cost(0, len(sizes) - 1)


def cost_of(node: ad.Node) -> float:
    """What the products of a graph cost."""
    total = 0
    for n in ad.topological_sort(node):
        if n.op is ad.matmul:
            a, b = n.inputs
            total += n.numel() * a.shape[-1] + ENTRY * (a.numel() + b.numel() + n.numel())
    return total


def in_any_order(factors: list[ad.Node], rng: random.Random) -> ad.Node:
    """A product of factors, each half of it transposed now and then."""
    if len(factors) == 1:
        return factors[0]
    at = rng.randrange(1, len(factors))
    a, b = in_any_order(factors[:at], rng), in_any_order(factors[at:], rng)
    if rng.random() < 0.3:
        return ad.transpose(ad.transpose(b, -1, -2) @ ad.transpose(a, -2, -1), -1, -2)
    return a @ b


@pytest.mark.parametrize('seed', range(60))
def test_no_order_of_matrices_is_cheaper(seed: int):
    rng = random.Random(seed)
    sizes = [rng.choice([1, 2, 5, 20, 60]) for _ in range(rng.randrange(4, 9))]
    factors = [matrix(f'x{i}', *pair) for i, pair in enumerate(itertools.pairwise(sizes))]
    given = in_any_order(factors, rng)
    (found,) = chained([given]).nodes
    best = cheapest(sizes)
    assert cost_of(found) == (best if best * WORTH <= cost_of(given) else cost_of(given))
    check_close(given, found, seed)


def drawn_chain(rng: random.Random) -> ad.Node:
    """Matrices, batches of them and diagonals, some of them scaled, in any order."""
    sizes = [rng.choice([1, 3, 4, 12]) for _ in range(rng.randrange(3, 6))]
    sizes = [n for n in sizes for _ in range(rng.choice([1, 1, 2]))] + [5, 6]
    factors = [_drawn_factor(f'x{i}', *pair, rng) for i, pair in enumerate(itertools.pairwise(sizes))]
    given = in_any_order([_drawn_scale(x, i, rng) for i, x in enumerate(factors)], rng)
    given = _drawn_scale(given, len(factors), rng)
    return given @ matrix('last', 6, *([] if given.type and len(given.shape) == 2 else [2]))


def _drawn_factor(name: str, m: int, n: int, rng: random.Random) -> ad.Node:
    kind = rng.random()
    if m == n and kind < 0.6:
        identity = eye(n, dtype=F64)
        if kind < 0.4:
            return diag_embed(matrix(name, *([2] if kind < 0.2 else []), n))
        return identity * matrix(name, n) if kind < 0.5 else identity
    return matrix(name, 2, m, n) if kind < 0.3 else matrix(name, m, n)


def _drawn_scale(x: ad.Node, i: int, rng: random.Random) -> ad.Node:
    (*sizes, m, n), name = x.shape, f'scale{i}'
    front = sizes if rng.random() < 0.5 else []
    by = rng.choice([matrix(name, n), matrix(name, *front, m, 1), matrix(name, *front, 1, n), matrix(name)])
    found: list[Callable[[], ad.Node]] = [
        lambda: x, lambda: x, lambda: x * by, lambda: x / by, lambda: -x, lambda: 2.0 * x, lambda: x / 4,
    ]  # fmt: skip
    return rng.choice(found)()


@pytest.mark.parametrize('seed', range(150))
def test_any_chain_keeps_its_value(seed: int):
    given = drawn_chain(random.Random(seed))
    (found,) = chained([given]).nodes
    assert compatible(found.type, given.type)
    check_close(given, found, seed)


def test_most_of_the_chains_that_are_drawn_are_changed():
    drawn = [drawn_chain(random.Random(seed)) for seed in range(150)]
    assert sum(chained([x]).nodes != [x] for x in drawn) > 75


# -- long chains -----------------------------------------------------------------------------------


def test_long_chains_are_ordered_in_parts(monkeypatch: pytest.MonkeyPatch):
    longest = 0
    orders = chains._orders

    def counted(factors: Sequence[chains._Factor]) -> tuple[float, dict[tuple[int, int], int]]:
        nonlocal longest
        longest = max(longest, len(factors))
        return orders(factors)

    monkeypatch.setattr(chains, '_orders', counted)
    product = C
    for _ in range(5000):
        product = product @ C
    (found,) = chained([product @ v]).nodes
    assert longest == chains._LONGEST
    # The last part is products with a vector; a part before it has no vector.
    assert sum(len(n.shape) == 1 for n in ad.topological_sort(found) if n.op is ad.matmul) == longest - 1
    assert ops_of(found)['matmul'] == 5001


# -- at the levels ---------------------------------------------------------------------------------


@pytest.mark.parametrize('level', ['none', 'bitwise', 'default', 'fast'])
def test_only_the_level_fast_takes_another_order(level: Level):
    given = A.T @ torch.diag(u) @ A @ w
    (found,) = ad.optimize([given], level)
    assert (len(found.inputs[1].shape) == 1 and ops_of(found)['diag_embed'] == 0) == (level == 'fast')


@pytest.mark.parametrize('executor', ['reference', 'plan'])
def test_run_as_a_user_would(executor: str):
    given = [A @ B @ v, ad.gradients(ad.sum(ad.tanh((A @ torch.diag(d)) @ B @ v)), [d])[0]]
    feed = {n: value for node in given for n, value in feed_of(node).items()}
    olds = ad.Evaluator(given, executor=executor, optimize='none').run(feed)
    news = ad.Evaluator(given, executor=executor, optimize='fast').run(feed)
    torch.testing.assert_close(news, olds, rtol=1e-11, atol=1e-11)
