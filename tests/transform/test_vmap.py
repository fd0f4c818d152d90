"""``vmap`` against ``torch.func.vmap`` and against loops; nested, and with the transforms of derivatives."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint.ops.random import drawn_normal, drawn_permutation, dropout_mask

SIZE = 3


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same(got: Any, wanted: Any) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


X, Y, W, V = draw(SIZE, 4, 2), draw(SIZE, 4, 2, seed=1), draw(4, 2, seed=2), draw(SIZE, 4, seed=3)
PLACES = torch.tensor([[0, 2], [1, 1], [3, 0]])


def _inverse(a: Any) -> Any:
    return torch.linalg.inv(a) if isinstance(a, torch.Tensor) else ad.registry()['inverse'](a)


# A function, its arguments, and the axes: what torch says of all of them is the same.
TABLE: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any, Any]] = {
    'product and sum': (lambda x, y: torch.sum(x * torch.sin(y)), (X, Y), 0, 0),
    'one for all': (lambda x, w: torch.exp(x - w), (X, W), (0, None), 0),
    'two results': (lambda x: (x.mean(), x.T @ x), (X,), 0, 0),
    'results along other axes': (lambda x: (x, x.T), (X,), 0, (1, -1)),
    'axis 1': (lambda x, v: v @ x, (X.movedim(0, 1), V), (1, 0), 0),
    'axis -1': (lambda x: torch.softmax(x, 0), (X.movedim(0, -1),), -1, -1),
    'nested structure': (
        lambda state, w: {'out': state['a'] @ w, 'norm': state['b'][0].square().sum()},
        ({'a': V, 'b': [X]}, W),
        ({'a': 0, 'b': 0}, None),
        0,
    ),
    'vectors': (torch.dot, (V, V.flip(0)), 0, 0),
    'matrix and vectors': (torch.matmul, (W.T, V), (None, 0), 0),
    'vectors and matrix': (torch.matmul, (V, W), (0, None), 0),
    'a matrix and columns': (torch.matmul, (W.T, V.unsqueeze(-1)), (None, 0), 0),
    'vectors and matrices': (torch.matmul, (V, X), 0, 0),
    'a choice': (lambda x, y: torch.where(x > y, x, y * 2), (X, Y), 0, 0),
    'positions': (lambda x, i: x[i], (X, PLACES), 0, 0),
    'positions behind a slice': (lambda w, i: w.T[:, i], (W, PLACES), (None, 0), 0),
    'positions apart': (lambda x, i: x.unsqueeze(0)[:, i, :, None][..., 0], (X, PLACES), 0, 0),
    'gather': (lambda v, i: torch.gather(v, 0, i), (V, PLACES), 0, 0),
    'cumulative': (lambda x: torch.cumsum(x, 0), (X,), 0, 0),
    'sorted': (lambda v: torch.sort(v, descending=True).values, (V,), 0, 0),
    'norms': (lambda x: F.layer_norm(x, (2,)), (X,), 0, 0),
    'shapes': (lambda x: torch.cat([x.reshape(-1), x.T.flatten()]).unsqueeze(0), (X,), 0, 0),
    'linear algebra': (lambda x: _inverse(x.T @ x + 2 * torch.eye(2, dtype=torch.float64)), (X,), 0, 0),
    'a number each': (lambda s, w: s * w, (V[:, 0], W), (0, None), 0),
    'a number each, of another dtype': (lambda s, w: s * w, (V[:, 0], W.float()), (0, None), 0),
    'nothing of the example': (lambda x, w: w * 2, (X, W), (0, None), 0),
    'convolution': (
        lambda x, w: (
            torch.ops.aten.convolution(x, w, None, [1], [1], [1], False, [0], 1)
            if isinstance(x, torch.Tensor)
            else ad.registry()['convolution'](x, w, padding=1)
        ),
        (draw(SIZE, 2, 3, 5), draw(SIZE, 4, 3, 3, seed=5)),
        0,
        0,
    ),
}


@pytest.mark.parametrize('name', TABLE)
def test_agrees_with_torch(name: str) -> None:
    function, args, in_axes, out_axes = TABLE[name]
    wanted = torch.func.vmap(function, in_axes, out_axes)(*args)
    assert_same(ad.vmap(function, in_axes, out_axes)(*args), wanted)


@pytest.mark.parametrize('name', [n for n in TABLE if n not in {'convolution', 'sorted'}])
def test_gradients_through_it_agree_with_torch(name: str) -> None:
    function, args, in_axes, _ = TABLE[name]
    wanted_by = tuple(i for i, a in enumerate(args) if isinstance(a, torch.Tensor) and a.is_floating_point())

    def total(of: Callable[..., Any]) -> Callable[..., Any]:
        def summed(*given: Any) -> Any:
            found = of(*given)
            leaves = list(found.values()) if isinstance(found, dict) else found
            leaves = leaves if isinstance(leaves, (list, tuple)) else [leaves]
            return sum((y * y * (k + 1)).sum() for k, y in enumerate(leaves))

        return summed

    if not wanted_by:
        return
    wanted = torch.func.grad(total(torch.func.vmap(function, in_axes)), wanted_by)(*args)
    assert_same(ad.grad(total(ad.vmap(function, in_axes)), wanted_by)(*args), wanted)


# -- nested ---------------------------------------------------------------------------------------


def energy(x: Any, w: Any) -> Any:
    return torch.sum(torch.tanh(x @ w) ** 2)


def test_gradients_for_each_example() -> None:
    wanted = torch.func.vmap(torch.func.grad(energy, 1), (0, None))(X.mT, W)
    assert_same(ad.vmap(ad.grad(energy, 1), (0, None))(X.mT, W), wanted)


def test_gradient_of_a_sum_over_examples() -> None:
    ours = ad.grad(lambda w: ad.vmap(energy, (0, None))(X.mT, w).sum())(W)
    wanted = torch.func.grad(lambda w: torch.func.vmap(energy, (0, None))(X.mT, w).sum())(W)
    assert_same(ours, wanted)


def test_two_levels_make_a_table() -> None:
    ours = ad.vmap(ad.vmap(torch.dot, (None, 0)), (0, None))(V, draw(5, 4))
    assert_same(ours, V @ draw(5, 4).mT)


def test_two_levels_along_different_axes() -> None:
    cube = draw(2, 3, 4)
    ours = ad.vmap(ad.vmap(torch.cumsum, (0, None)), (1, None), 1)(cube, 0)
    assert_same(ours, cube.cumsum(2))


@pytest.mark.filterwarnings('ignore:.torch.jit.script')
def test_hessians_for_each_example() -> None:
    def f(x: Any) -> Any:
        return torch.sum(torch.sin(x) * x**2) * torch.prod(x)

    wanted = torch.func.vmap(torch.func.hessian(f))(V)
    torch.testing.assert_close(ad.vmap(ad.hessian(f))(V), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings('ignore:.torch.jit.script')
def test_pushforward_of_a_batch_is_a_batch_of_pushforwards() -> None:
    def f(x: Any) -> Any:
        return torch.softmax(x, 0) @ W

    t = draw(SIZE, 4, seed=9)
    wanted = torch.func.vmap(lambda x, t: torch.func.jvp(f, (x,), (t,))[1])(V, t)
    assert_same(ad.vmap(lambda x, t: ad.jvp(f, (x,), (t,))[1])(V, t), wanted)
    assert_same(ad.jvp(ad.vmap(f), (V,), (t,))[1], wanted)


def test_gradient_of_a_gradient_for_each_example() -> None:
    def of(library: Any) -> Any:
        def penalty(w: Any) -> Any:
            return (library.vmap(library.grad(energy), (0, None))(X.mT, w) ** 2).sum()

        return library.grad(penalty)(W)

    torch.testing.assert_close(of(ad), of(torch.func), rtol=1e-11, atol=1e-11)


def test_what_closes_over_a_batch_is_the_same_for_an_inner_one() -> None:
    ours = ad.vmap(lambda x: ad.vmap(lambda y: x * y)(V[0]))(V)
    assert_same(ours, torch.func.vmap(lambda x: torch.func.vmap(lambda y: x * y)(V[0]))(V))


def test_no_node_maps_the_common_programs() -> None:
    def f(x: Any, w: Any) -> Any:
        return F.layer_norm(torch.relu(x @ w), (2,)).softmax(-1).log().sum()

    graph = ad.vmap(ad.grad(f, 1), (0, None)).graph(X.mT, W)
    assert not [n for n in ad.topological_sort(graph.outputs) if isinstance(n.op, ad.Map)]


# -- per-example gradients ------------------------------------------------------------------------


def one_by_one(
    loss: Callable[..., torch.Tensor], weights: dict[str, torch.Tensor], *batches: torch.Tensor
) -> Any:
    """The gradients for each example by torch.autograd, in a loop."""
    found: list[dict[str, torch.Tensor]] = []
    for own in zip(*batches, strict=True):
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        loss(leaves, *own).backward()
        found.append({name: w.grad for name, w in leaves.items() if w.grad is not None})
    return {name: torch.stack([f[name] for f in found]) for name in weights}


def _convolve(x: Any, w: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return F.conv2d(x, w, padding=1)
    return ad.registry()['convolution'](x, w, padding=1)


def _pool(x: Any) -> Any:
    return F.max_pool2d(x, 2) if isinstance(x, torch.Tensor) else ad.ops.max_pooling.max_pool(x, 2, 2)[0]


def _entropy(logits: Any, target: Any) -> Any:
    return -(torch.log_softmax(logits, 0) * target).sum()


def test_each_example_of_a_convolutional_network() -> None:
    def loss(w: Any, x: Any, target: Any) -> Any:
        y = torch.relu(_convolve(x.unsqueeze(0), w['first']) + w['bias'].reshape(1, 3, 1, 1))
        y = torch.tanh(_convolve(_pool(y), w['second']))
        return _entropy(y.flatten() @ w['out'], target)

    weights = {
        'first': draw(3, 1, 3, 3), 'bias': draw(3, seed=1), 'second': draw(2, 3, 3, 3, seed=2),
        'out': draw(2 * 4 * 4, 5, seed=3),
    }  # fmt: skip
    x, target = draw(4, 1, 8, 8, seed=4), torch.softmax(draw(4, 5, seed=5), 1)
    ours = ad.vmap(ad.grad(loss), (None, 0, 0))(weights, x, target)
    torch.testing.assert_close(ours, one_by_one(loss, weights, x, target), rtol=1e-11, atol=1e-12)
    graph = ad.vmap(ad.grad(loss), (None, 0, 0)).graph(weights, x, target)
    assert not [n for n in ad.topological_sort(graph.outputs.values()) if isinstance(n.op, ad.Map)]


def test_each_example_of_a_transformer_layer() -> None:
    heads, width = 2, 6

    def attended(x: Any, w: Any) -> Any:
        q, k, v = (x @ w[n] for n in ('query', 'key', 'value'))
        q, k, v = (a.reshape(-1, heads, width // heads).transpose(0, 1) for a in (q, k, v))
        weights = torch.softmax(q @ k.transpose(-2, -1) / 3**0.5, -1)
        return (weights @ v).transpose(0, 1).reshape(-1, width) @ w['out']

    def loss(w: Any, x: Any, target: Any) -> Any:
        y = F.layer_norm(x + attended(x, w), (width,)) * w['scale'] + w['shift']
        y = F.layer_norm(y + F.gelu(y @ w['up']) @ w['down'], (width,))
        return _entropy(y.mean(0) @ w['classes'], target)

    sizes = dict.fromkeys(('query', 'key', 'value', 'out'), (width, width))
    sizes |= {
        'scale': (width,),
        'shift': (width,),
        'up': (width, 8),
        'down': (8, width),
        'classes': (width, 3),
    }
    weights = {n: draw(*size, seed=k) * 0.5 for k, (n, size) in enumerate(sizes.items())}
    x, target = draw(4, 5, width, seed=20), torch.softmax(draw(4, 3, seed=21), 1)
    ours = ad.vmap(ad.grad(loss), (None, 0, 0))(weights, x, target)
    torch.testing.assert_close(ours, one_by_one(loss, weights, x, target), rtol=1e-11, atol=1e-12)
    graph = ad.vmap(ad.grad(loss), (None, 0, 0)).graph(weights, x, target)
    assert not [n for n in ad.topological_sort(graph.outputs.values()) if isinstance(n.op, ad.Map)]


# -- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [0, 1, 2])
def test_any_number_of_examples(size: int) -> None:
    def f(x: Any, w: Any) -> Any:
        return (torch.softmax(x @ w, 0).reshape(-1, 1).squeeze() * torch.sum(x), torch.sort(x).values)

    x = draw(size, 4)
    wanted = [torch.stack([f(own, W)[k] for own in x]) if size else draw(0, 2 * (k + 1)) for k in range(2)]
    assert_same(list(ad.vmap(f, (0, None))(x, W)), wanted)
    grads = ad.vmap(ad.grad(lambda x, w: f(x, w)[0].sum()), (0, None))(x, W)
    assert grads.shape == x.shape


def test_no_examples_for_an_op_that_is_mapped() -> None:
    ours = ad.vmap(lambda x: ad.registry()['median'](x))(draw(0, 3))
    assert ours.shape == (0,)
    assert ours.dtype == torch.float64


# -- random values --------------------------------------------------------------------------------


def test_random_values_are_an_error_by_default() -> None:
    with pytest.raises(ad.UnsupportedOpError, match=r"randomness='different' each example has its own"):
        ad.vmap(lambda x: x * dropout_mask(x))(X)


def test_random_values_are_the_same_for_all() -> None:
    def f(x: Any) -> Any:
        return x * dropout_mask(x, 0.5, seed=3), drawn_normal((5,), seed=4)

    masked, noise = ad.vmap(f, randomness='same')(torch.ones(6, 20))
    assert (masked == masked[0]).all()
    assert masked.unique().tolist() == [0.0, 2.0]
    assert (noise == noise[0]).all()


def test_random_values_are_drawn_for_each() -> None:
    def f(x: Any) -> Any:
        return x * dropout_mask(x, 0.5, seed=3), drawn_normal((5,), seed=4), drawn_permutation(9, seed=5)

    masked, noise, order = ad.vmap(f, randomness='different')(torch.ones(6, 20))
    assert len({tuple(row.tolist()) for row in masked}) == 6
    assert len({tuple(row.tolist()) for row in noise}) == 6
    assert len({tuple(row.tolist()) for row in order}) == 6
    assert (order.sort(1).values == torch.arange(9)).all()


def test_random_features_are_drawn_for_each() -> None:
    masks = ad.vmap(lambda x: dropout_mask(x, 0.5, by_feature=True, seed=1), randomness='different')(
        torch.ones(3, 2, 8, 4)
    )
    assert masks.shape == (3, 2, 8, 1)
    assert len({tuple(m.flatten().tolist()) for m in masks}) == 3


@pytest.mark.parametrize('name', ['drawn_bernoulli', 'drawn_poisson', 'drawn_multinomial', 'rrelu_noise'])
def test_draws_by_parameters_of_the_example(name: str) -> None:
    op = ad.registry()[name]
    more: tuple[Any, ...] = (4,) if name == 'drawn_multinomial' else ()
    p = torch.full((5, 30), 0.5)
    same = ad.vmap(lambda p: op(p, *more), randomness='same')(p)
    assert (same == same[0]).all()
    each = ad.vmap(lambda p: op(p, *more), randomness='different')(p)
    assert name == 'rrelu_noise' or len({tuple(row.tolist()) for row in each}) > 1
    assert each.shape == same.shape


def test_a_gradient_sees_the_same_draw() -> None:
    def f(x: Any) -> Any:
        return (x**2 * dropout_mask(x, 0.5, seed=7)).sum()

    x = draw(3, 8)
    mask = ad.vmap(lambda x: dropout_mask(x, 0.5, seed=7), randomness='different')(x)
    assert_same(ad.vmap(ad.grad(f), randomness='different')(x), 2 * x * mask)


# -- what is refused ------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ad.vmap(torch.dot)(V, draw(5, 4)),
        ad.ShapeError,
        r'different numbers of examples: .*has 3, .*has 5',
    ),
    (lambda: ad.vmap(torch.dot, None)(V, V), ad.TensorTypeError, 'no argument of .* is a batch'),
    (lambda: ad.vmap(torch.dot, (0, 2))(V, V), ad.ShapeError, r'has 2 axes, .* and no axis 2'),
    (lambda: ad.vmap(torch.dot, (0,))(V, V), ad.TensorTypeError, 'called with 2 positional arguments'),
    (lambda: ad.vmap(lambda x, k: x * k)(V, 3), ad.TensorTypeError, r'k is 3 .*has no axis 0: with None'),
    (
        lambda: ad.vmap(lambda s: s['a'], ({'b': 0},))({'a': V}),
        ad.TensorTypeError,
        'give it the same structure',
    ),
    (lambda: ad.vmap(lambda x: x, 'a')(V), ad.TensorTypeError, 'in_axes'),
    (lambda: ad.vmap(lambda x: 'text')(V), ad.TensorTypeError, "must return tensors.* returned 'text'"),
    (lambda: ad.vmap(lambda x: x, out_axes=None)(V), ad.TensorTypeError, 'depends on the example'),
    (lambda: ad.vmap(lambda x: x, out_axes=2)(V), ad.ShapeError, 'has no axis 2'),
    (lambda: ad.vmap(lambda x: x, randomness='any')(V), ad.TensorTypeError, 'randomness is one of'),  # type: ignore[arg-type]
    (lambda: ad.vmap(3), ad.TensorTypeError, ''),  # type: ignore[arg-type]
]


@pytest.mark.parametrize('case', range(len(REFUSED)))
def test_what_cannot_work_is_refused(case: int) -> None:
    call, kind, pattern = REFUSED[case]
    with pytest.raises(kind) as caught:
        call()
    assert re.search(pattern, str(caught.value)), str(caught.value)


def test_results_of_different_shapes_are_refused_with_the_way_out() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    with pytest.raises(ad.ShapeError, match=r'results of different shapes .* with masks'):
        ad.vmap(lambda x: ad.registry()['masked_select'](x, ad.ne(x, 0)))(x)


def test_keywords_are_the_same_for_all() -> None:
    ours = ad.vmap(lambda x, *, w, times: (x @ w) * times)(V, w=W, times=2)
    assert_same(ours, V @ W * 2)


def test_a_result_that_is_the_same_for_all_may_have_no_axis() -> None:
    first, second = ad.vmap(lambda x, w: (x.sum(), w * 2), (0, None), (0, None))(V, W)
    assert_same(first, V.sum(1))
    assert_same(second, W * 2)


def test_the_graph_is_built_once_for_a_signature() -> None:
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return x * 2

    mapped = ad.vmap(f)
    mapped(V)
    mapped(V + 1)
    assert len(calls) == 1
