"""Many small products as one: what is merged, what is not, and that values stay as close to the true ones."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
import torch

import adjoint as ad
from adjoint.passes.merging import merged

F64 = torch.float64


def matrix(name: str, *shape: int) -> ad.Node:
    return ad.Variable(name, shape, F64)


def ops_of(nodes: Sequence[ad.Node]) -> Counter[str]:
    return Counter(n.op.name for n in ad.topological_sort(nodes))


def recurrent(steps: int, *, width: int = 8, batch: int = 3) -> list[ad.Node]:
    """Loss and gradients of a recurrent network, written out."""
    w, u, b = matrix('w', width, width), matrix('u', width, width), matrix('b', width)
    xs, h = matrix('xs', steps, batch, width), matrix('h', batch, width)
    given = [w, u, b, xs, h]
    for i in range(steps):
        h = ad.tanh(h @ w + xs[i] @ u + b)
    loss = ad.mean(h * h)
    return [loss, *ad.gradients(loss, given[:3])]


def graphs() -> dict[str, Callable[[], list[ad.Node]]]:
    x, y, z = (matrix(n, 4, 5) for n in 'xyz')
    w, v = matrix('w', 5, 6), matrix('v', 5, 7)
    bias, other_term, other_row = matrix('bias', 6), matrix('other', 4, 6), matrix('row', 5)
    tall, once, other = matrix('tall', 64, 5), x @ w, y @ v
    return {
        'shared on the right': lambda: [x @ w, y @ w, z @ w, (x @ w) * 2],
        'shared on the left': lambda: [ad.tanh(tall @ w), tall @ v],
        'one needs the other': lambda: [once, ad.tanh(once) @ matrix('back', 6, 5) @ w],
        'crossed': lambda: [
            once,
            ad.tanh(once) @ matrix('q', 6, 5) @ v,
            other,
            ad.sin(other) @ matrix('r', 7, 5) @ w,
        ],
        'with biases': lambda: [ad.sin(x @ w + bias), ad.cos(other_term + y @ w + bias), z @ w + bias],
        'a sum of products': lambda: [x.T @ y + y.T @ z + z.T @ x + x.T @ x + x.T @ x * 0.5],
        'a sum of rows': lambda: [
            ad.sum(x, 0) + (ad.sum(y, 0) + ad.sum(z, 0)) + ad.sum(x * x, 0) + other_row
        ],
        'recurrent': lambda: recurrent(9),
    }


def values(nodes: Sequence[ad.Node], seed: int, special: Sequence[float] = ()) -> dict[ad.Node, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found: dict[ad.Node, torch.Tensor] = {}
    for node in ad.topological_sort(nodes):
        if node.op is ad.placeholder:
            value = torch.randn(node.shape, generator=generator, dtype=F64)
            for number in special:
                place = int(torch.randint(value.numel(), (), generator=generator))
                value.view(-1)[place] = number
            found[node] = value
    return found


@pytest.mark.parametrize('name', graphs())
@pytest.mark.parametrize('special', [(), (0.0, -0.0), (float('inf'),), (float('nan'), 0.0), (1e300, -1e300)])
def test_merged_products_are_as_close(name: str, special: tuple[float, ...]) -> None:
    before = graphs()[name]()
    after = merged(before).nodes
    for seed in range(5):
        feed = values(before, seed, special)
        olds = ad.Evaluator(before, executor='reference').run(feed)
        news = ad.Evaluator(after, executor='reference').run(feed)
        for old, new in zip(olds, news, strict=True):
            assert (old.shape, old.dtype) == (new.shape, new.dtype)
            finite = old.isfinite()
            assert torch.equal(finite, new.isfinite())
            largest = old[finite].abs().max() if finite.any() else torch.tensor(0.0)
            atol = float(1e-14 * largest) + 1e-13
            torch.testing.assert_close(new[finite], old[finite], rtol=1e-12, atol=atol)


def test_products_with_one_matrix_are_one() -> None:
    nodes = graphs()['shared on the right']()
    assert ops_of(merged(nodes).nodes)['matmul'] == 1
    assert ops_of(merged(graphs()['shared on the left']()).nodes)['matmul'] == 1


def test_what_waits_for_another_is_not_merged_with_it() -> None:
    before = graphs()['one needs the other']()
    assert merged(before).nodes == before
    assert ops_of(merged(graphs()['crossed']()).nodes) == ops_of(graphs()['crossed']())


def test_large_products_and_few_columns_are_left_alone() -> None:
    x, y, w = matrix('x', 200, 200), matrix('y', 200, 200), matrix('w', 200, 200)
    large = [x @ w, y @ w]
    assert merged(large).nodes == large
    wide = [x @ w, x @ y]  # the matrices are as large as what they are multiplied with
    assert merged(wide).nodes == wide


def test_a_recurrent_network_multiplies_its_inputs_once_and_its_gradient_is_a_product() -> None:
    before = recurrent(50)
    after = ad.optimize(before, 'fast', final=True)
    # h @ w and its pullback at each step, all inputs @ u, and one for the gradients of both matrices.
    assert ops_of(after)['matmul'] == 50 + 49 + 1 + 1
    assert (ops_of(after)['sum'], ops_of(after)['cat']) == (1, 3)


def test_a_bias_of_all_is_added_once() -> None:
    x, y, c = (matrix(n, 4, 5) for n in 'xyc')
    w, b, other = matrix('w', 5, 5), matrix('b', 5), matrix('d', 5)
    assert ops_of(merged([ad.sin(x @ w + b), ad.sin(b + (c + y @ w))]).nodes)['add'] == 2
    assert ops_of(merged([ad.sin(x @ w + b), ad.sin(y @ w + other)]).nodes)['add'] == 2
    shared = x @ w + b
    assert ops_of(merged([shared * shared, y @ w + b]).nodes) == {
        **ops_of([matrix('n', 1)]), 'placeholder': 4, 'cat': 1, 'matmul': 1, 'add': 1, 'getitem': 2, 'mul': 1
    }  # fmt: skip


def test_terms_that_others_use_stay() -> None:
    x, y = matrix('x', 3, 8), matrix('y', 3, 8)
    terms = [x.T @ y, y.T @ x, x.T @ x, y.T @ y]
    total = terms[0] + terms[1] + terms[2] + terms[3]
    assert ops_of(merged([total]).nodes)['matmul'] == 1
    assert ops_of(merged([total, *terms]).nodes)['add'] == 3


def test_untyped_graphs_are_left_alone() -> None:
    x, y, w = (ad.Variable(n) for n in 'xyw')
    nodes = [x @ w, y @ w]
    assert merged(nodes).nodes == nodes


def test_a_graph_of_a_hundred_thousand_nodes() -> None:
    w = matrix('w', 8, 8)
    h = matrix('h', 2, 8)
    for _ in range(30_000):
        h = ad.tanh(h @ w) + h
    assert merged([h]).nodes == [h]
