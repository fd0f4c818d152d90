"""What is listed as a kink is one, with the convention that all modes and orders follow."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional as F

import adjoint as ad
from adjoint.ops.distance import abs_pow, cdist, signed_pow, vector_norm
from adjoint.ops.elimination import lu_factor
from adjoint.ops.factorisation import eig, qr, svd
from adjoint.ops.linalg import pinv
from adjoint.ops.max_pooling import adaptive_max_pool, max_pool
from adjoint.verify.samples import Arguments
from tests.ops.case import Case, t, z
from tests.ops.cases import CASES

INF, NAN = math.inf, math.nan


def places(y: ad.Node | Sequence[ad.Node], values: dict[ad.Node, torch.Tensor]) -> list[tuple[str, str, int]]:
    return [(f.node.op.name, f.kink.kind, f.count) for f in ad.kinks(y, values)]


def test_the_list_has_the_line_the_count_and_what_was_chosen() -> None:
    x = ad.Variable('x')
    y = ad.sqrt(ad.relu(x))
    found = ad.kinks(y, {x: t([0.0, -1.0, 2.0])})
    assert [(f.node.op.name, f.count, f.total) for f in found] == [('relu', 1, 3), ('sqrt', 2, 3)]
    assert len(found) == 2
    text = str(found)
    assert "kink at 'relu(x)': 1 of 3 entries have x == 0; the derivative is 0" in text
    assert "pole at 'sqrt(relu)': 2 of 3 entries have x == 0; the derivative is infinite" in text
    assert 'y = ad.sqrt(ad.relu(x))' in text


def test_a_smooth_run_lists_nothing() -> None:
    x = ad.Variable('x')
    found = ad.kinks(ad.sqrt(ad.relu(x)), {x: t([1.0, 2.0])})
    assert list(found) == []
    assert str(found) == 'none of 2 nodes is at a kink, tie, jump or pole'


def test_comparisons_of_integers_are_no_jumps() -> None:
    i, x = ad.Variable('i'), ad.Variable('x')
    y = ad.where(i > 0, x, ad.where(x > 0, x, 0))
    assert places(y, {i: torch.tensor([0, 1]), x: t([0.0, 2.0])}) == [('gt', 'jump', 1)]


def test_gradients_have_kinks_of_their_own() -> None:
    x = ad.Variable('x')
    gradient = ad.gradients(x**2.5, [x])
    assert places([*gradient, *ad.gradients(gradient[0], [x])], {x: t([0.0])}) == [('pow', 'pole', 1)]


def test_a_graph_is_taken_too() -> None:
    graph = ad.from_torch(lambda x: x.relu().sum(), torch.zeros(3))
    assert places(graph, {graph.variables[0]: torch.zeros(3)}) == [('relu', 'kink', 3)]  # pyright: ignore[reportArgumentType] no sequence


# What is declared is what is done: first order in both modes, and the second.


@dataclass(frozen=True)
class Place:
    """An op of one operand at a kink: the derivatives that its declaration states there."""

    build: Callable[[ad.Node], ad.Node]
    at: Sequence[float]
    first: Sequence[float]
    second: Sequence[float]


PLACES = {
    'abs': Place(abs, [0], [0], [0]),
    'relu': Place(ad.relu, [0], [0], [0]),
    'sqrt': Place(ad.sqrt, [0], [INF], [-INF]),
    'rsqrt': Place(ad.rsqrt, [0], [-INF], [INF]),
    'reciprocal': Place(ad.reciprocal, [0], [-INF], [INF]),
    'div': Place(lambda x: 1 / x, [0], [-INF], [INF]),
    'log': Place(ad.log, [0], [INF], [-INF]),
    'log1p': Place(ad.registry()['log1p'], [-1], [INF], [-INF]),
    'log2': Place(ad.registry()['log2'], [0], [INF], [-INF]),
    'log10': Place(ad.registry()['log10'], [0], [INF], [-INF]),
    'pow': Place(lambda x: x**0.5, [0], [INF], [-INF]),
    'sign': Place(ad.sign, [0], [0], [0]),
    'sgn': Place(ad.registry()['sgn'], [0], [0], [0]),
    'floor': Place(ad.floor, [-1, 0, 2], [0, 0, 0], [0, 0, 0]),
    'ceil': Place(ad.registry()['ceil'], [-1, 2], [0, 0], [0, 0]),
    'trunc': Place(ad.registry()['trunc'], [-1, 2], [0, 0], [0, 0]),
    'round': Place(ad.registry()['round'], [0.5, 1.5], [0, 0], [0, 0]),
    'frac': Place(ad.registry()['frac'], [-1, 2], [1, 1], [0, 0]),
    'maximum': Place(lambda x: ad.maximum(x, 1), [1], [0.5], [0]),
    'minimum': Place(lambda x: ad.minimum(1, x), [1], [0.5], [0]),
    'fmax': Place(lambda x: ad.registry()['fmax'](x, 1), [1], [1], [0]),
    'fmin': Place(lambda x: ad.registry()['fmin'](x, 1), [1], [1], [0]),
    'clamp_min_tensor': Place(lambda x: ad.registry()['clamp_min_tensor'](x, t(1)), [1], [1], [0]),
    'clamp_max_tensor': Place(lambda x: ad.registry()['clamp_max_tensor'](x, t(1)), [1], [1], [0]),
    'clamp_tensor': Place(lambda x: ad.registry()['clamp_tensor'](x, t(0), t(1)), [0, 1], [1, 1], [0, 0]),
    'clamp': Place(lambda x: ad.clamp(x, 0, 1), [0, 1], [1, 1], [0, 0]),
    'gt': Place(lambda x: x * (x > 1), [1], [0], [0]),
    'le': Place(lambda x: x * (x <= 1), [1], [1], [0]),
    'asin': Place(ad.registry()['asin'], [1], [INF], [INF]),
    'acos': Place(ad.registry()['acos'], [1], [-INF], [-INF]),
    'acosh': Place(ad.registry()['acosh'], [1], [INF], [-INF]),
    'atanh': Place(ad.registry()['atanh'], [1], [INF], [INF]),
    'atan2': Place(lambda x: ad.registry()['atan2'](x, t(0)), [0], [0], [0]),
    'hypot': Place(lambda x: ad.registry()['hypot'](x, t(0)), [0], [0], [0]),
    'copysign': Place(lambda x: ad.registry()['copysign'](x, t(-1)), [0], [0], [0]),
    'nan_to_num': Place(ad.registry()['nan_to_num'], [INF, NAN], [0, 0], [0, 0]),
    'entr': Place(ad.registry()['entr'], [0], [INF], [-INF]),
    'logit': Place(ad.registry()['logit'], [0], [INF], [-INF]),
    'erfinv': Place(ad.registry()['erfinv'], [1], [INF], [INF]),
    'ndtri': Place(ad.registry()['ndtri'], [1], [INF], [INF]),
    'i0e': Place(ad.registry()['i0e'], [0], [0], [0.5]),
    'leaky_relu': Place(lambda x: ad.registry()['leaky_relu'](x, 0.25), [0], [0.25], [0]),
    'elu': Place(lambda x: ad.registry()['elu'](x, 0.5), [0], [0.5], [0.5]),
    'hardshrink': Place(ad.registry()['hardshrink'], [-0.5, 0.5], [0, 0], [0, 0]),
    'softshrink': Place(ad.registry()['softshrink'], [-0.5, 0.5], [0, 0], [0, 0]),
    'hardtanh': Place(ad.registry()['hardtanh'], [-1, 1], [0, 0], [0, 0]),
    'hardsigmoid': Place(ad.registry()['hardsigmoid'], [-3, 3], [0, 0], [0, 0]),
    'hardswish': Place(ad.registry()['hardswish'], [-3, 3], [0, 1], [0, 0]),
    'deviation': Place(ad.registry()['deviation'], [0], [0], [0]),
    'abs_pow': Place(lambda x: abs_pow(x, 3.0), [0], [0], [0]),
    'signed_pow': Place(lambda x: signed_pow(x, 0.5), [0], [0], [0]),
    'vector_norm': Place(lambda x: vector_norm(x, ord=2.0, dim=None, keepdim=False), [0, 0], [0, 0], [0, 0]),
    'amax': Place(ad.amax, [2, 2, 1, 2], [1 / 3, 1 / 3, 0, 1 / 3], [0, 0, 0, 0]),
    'amin': Place(ad.amin, [2, 2, 3], [0.5, 0.5, 0], [0, 0, 0]),
    'median': Place(ad.registry()['median'], [2, 2, 1], [0.5, 0.5, 0], [0, 0, 0]),
    'nanmedian': Place(ad.registry()['nanmedian'], [2, 2, 1], [0.5, 0.5, 0], [0, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize('name', PLACES)
def test_what_is_declared_is_what_every_mode_and_order_does(name: str) -> None:
    place = PLACES[name]
    at = t(place.at)
    x = ad.Variable('x', at.shape, at.dtype)
    y = place.build(x)
    assert any(f.node.op.name == name for f in ad.kinks(y, {x: at})), name
    (g,) = ad.gradients(y, [x])
    (h,) = ad.gradients(g, [x])
    for node, expected in ((g, place.first), (h, place.second)):
        (got,) = ad.Evaluator([node]).run({x: at})
        torch.testing.assert_close(got, t(expected), rtol=1e-14, atol=0, equal_nan=True)
    for i, slope in enumerate(place.first):
        along = t([float(i == k) for k in range(len(place.at))])
        moved = ad.pushforward(y, {x: ad.constant(along)})
        got = t(0.0) if moved is None else ad.Evaluator([ad.sum(moved)]).run({x: at})[0]
        torch.testing.assert_close(got, t(slope), rtol=1e-14, atol=0)


# Every op is at a declared place where the battery says that it is not smooth.

NOT_SMOOTH_OTHERWISE = {
    'where/condition_of_floats': 'what is not smooth is the condition, a number',
    'drawn_bernoulli': 'what is drawn jumps with its probability',
    'drawn_poisson': 'what is drawn jumps with its rate',
    'histc': 'counts jump',
    'frexp_mantissa': 'differences reach over a jump nearby',
}


def _floating(value: torch.Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


@pytest.mark.parametrize('name', CASES)
def test_the_battery_has_no_kink_that_is_not_declared(name: str) -> None:
    case: Case = CASES[name]
    for sample in case.samples:
        arguments = Arguments(sample, wide=True)
        variables = arguments.variables('untyped')
        feed = dict(zip(variables, arguments.values, strict=True))
        able = [x for x, value in feed.items() if _floating(value)]
        try:
            y = arguments.call(case.build, variables)
            (value,) = ad.Evaluator([y]).run(feed)
        except ad.AdjointError:
            continue  # needs types
        if not able or not _floating(value):
            continue
        found = ad.kinks(y, feed)
        assert sample.smooth or found or name in NOT_SMOOTH_OTHERWISE, str(sample)
        finite = all(bool(torch.isfinite(v).all()) for v in arguments.values)
        if finite and case.order:
            gradients = ad.Evaluator(ad.gradients(y, able)).run(feed)
            infinite = any(not bool(torch.isfinite(g).all()) for g in gradients)
            assert not infinite or any(f.kink.kind == 'pole' for f in found), str(sample)


def test_complex_operands_have_places_too() -> None:
    x = ad.Variable('x')
    at = z([0, 1j])
    y = ad.registry()['angle'](x) + abs(x)
    assert places(y, {x: at}) == [('angle', 'jump', 1), ('abs', 'kink', 1)]


# What an op holds is looked into.


def test_the_branch_that_is_taken_and_no_other() -> None:
    x = ad.Variable('x', (2,), torch.float64)
    y = ad.cond(ad.sum(x) > 0, ad.relu, ad.sqrt, x)
    assert places(y, {x: t([0.0, 1.0])}) == [('relu', 'kink', 1)]
    # the choice itself is at its jump, and takes the other branch
    assert places(y, {x: t([0.0, 0.0])}) == [('gt', 'jump', 1), ('sqrt', 'pole', 2)]


def test_the_steps_of_a_loop_together() -> None:
    x = ad.Variable('x', (4,), torch.float64)
    total, _ = ad.scan(lambda c, entry: (c + ad.relu(entry), c), ad.constant(t(0.0)), x)
    (found,) = ad.kinks(total, {x: t([0.0, 1.0, 0.0, -1.0])})
    assert (found.node.op.name, found.count, found.total) == ('relu', 2, 4)
    assert 'ad.scan(lambda c, entry: (c + ad.relu(entry), c)' in str(found)
    steps = ad.fori_loop(0, 3, lambda _, h: abs(h), x)
    assert places(steps, {x: t([0.0, 1.0, 0.0, -1.0])}) == [('abs', 'kink', 6)]
    lowered = ad.while_loop(lambda h: ad.sum(h) > 0, lambda h: ad.relu(h - 0.25), x[:1])
    # in the last step `relu` is at its kink, and then the condition at its jump
    assert places(lowered, {x: t([0.5, 0.0, 0.0, 0.0])}) == [('gt', 'jump', 1), ('relu', 'kink', 1)]


def test_loops_in_loops_and_maps_of_them() -> None:
    x = ad.Variable('x', (2, 3), torch.float64)

    def inner(row: ad.Node) -> ad.Node:
        return ad.fori_loop(0, 2, lambda _, h: ad.relu(h), row)

    outer = ad.fori_loop(0, 5, lambda _, h: inner(h), x)
    assert places(outer, {x: torch.zeros(2, 3, dtype=torch.float64)}) == [('relu', 'kink', 2 * 5 * 6)]
    mapped = ad.vmap(inner)(x)
    assert places(mapped, {x: torch.zeros(2, 3, dtype=torch.float64)}) == [('relu', 'kink', 12)]


def test_gradients_of_loops_have_bodies_of_their_own() -> None:
    x = ad.Variable('x', (3,), torch.float64)
    total, _ = ad.scan(lambda c, entry: (c + entry**1.5, c), ad.constant(t(0.0)), x)
    gradient = ad.gradients(total, [x])
    assert places(total, {x: t([0.0, 1.0, 2.0])}) == []
    assert ('pow', 'pole', 1) in places(gradient, {x: t([0.0, 1.0, 2.0])})


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (
            lambda: ad.kinks(3, {}),
            r'nodes, of kinks, are one node, a list of nodes or a Graph, .* 3 of type int',
        ),
        (lambda: ad.kinks([ad.Variable('x'), 'y'], {}), r"and there is 'y' of type str"),
        (lambda: ad.kinks(ad.Variable('x'), 2.0), r'input_values, of kinks, maps .* 2.0 of type float'),
    ],
)
def test_what_is_no_graph_is_refused_with_the_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ad.TensorTypeError, match=rf'(?s){message}.*test_kinks.py'):
        call()


# Places of several entries: how many there are, by hand, and what the derivative is there.

POOLED = t([[[1.0, 2.0, 2.0, 0.0, 0.0, 3.0]]])


@pytest.mark.parametrize(
    ('options', 'count'),
    [((2,), 0), ((2, 1), 2), ((3, 3), 1), ((2, 2, 1), 2), ((2, 1, 0, 2), 0), ((4, 3, 0, 1, True), 1)],
)
def test_ties_in_windows(options: tuple[int, ...], count: int) -> None:
    x = ad.Variable('x')
    y, _ = max_pool(x, 1, *options)
    windows = torch.nn.functional.max_pool1d(POOLED, *options[:4], ceil_mode=len(options) > 4)
    found = ad.kinks(y, {x: POOLED})
    assert sum(f.count for f in found) == count
    assert all(f.kink.kind == 'tie' and f.total == windows.numel() for f in found)


def test_ties_in_windows_of_two_axes_and_of_any_size() -> None:
    x = ad.Variable('x')
    image = t([[[[1.0, 1.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0], [5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]])
    pooled, _ = max_pool(x, 2, 2)
    assert places(pooled, {x: image}) == [('max_pool_positions', 'tie', 3)]
    adaptive, _ = adaptive_max_pool(x, 2, 2)
    assert places(adaptive, {x: image}) == [('adaptive_max_pool_positions', 'tie', 3)]
    (g,) = ad.Evaluator(ad.gradients(ad.sum(pooled), [x])).run({x: image})
    leaf = image.clone().requires_grad_()
    with torch.enable_grad():
        (wanted,) = torch.autograd.grad(torch.nn.functional.max_pool2d(leaf, 2).sum(), leaf)
    assert torch.equal(g, wanted)


MATRICES: list[tuple[str, Callable[[ad.Node], ad.Node], torch.Tensor, list[tuple[str, str, int]]]] = [
    ('lu', lambda a: lu_factor(a)[0], t([[0.0, 1.0], [0.0, 2.0]]), [('lu_factor', 'pole', 1)]),
    ('lu ties', lambda a: lu_factor(a)[0], t([[1.0, 1.0], [-1.0, 2.0]]), [('lu_factor', 'tie', 1)]),
    ('lu regular', lambda a: lu_factor(a)[0], t([[3.0, 1.0], [1.0, 2.0]]), []),
    ('eig', lambda a: ad.real(eig(a)[0]), t([[2.0, 0.0], [0.0, 2.0]]), [('eig', 'pole', 1)]),
    ('eig apart', lambda a: ad.real(eig(a)[0]), t([[2.0, 0.0], [0.0, 3.0]]), []),
    ('pinv', pinv, t([[1.0, 2.0], [2.0, 4.0]]), [('pinv', 'jump', 1)]),
    ('pinv regular', pinv, t([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]), []),
    ('qr', lambda a: qr(a)[1], t([[0.0, 1.0], [0.0, 2.0]]), [('qr', 'pole', 1)]),
    ('svd', lambda a: svd(a)[1], t([[1.0, 0.0], [0.0, 0.0]]), [('svd', 'kink', 1)]),
]


@pytest.mark.parametrize(('build', 'at', 'wanted'), [m[1:] for m in MATRICES], ids=[m[0] for m in MATRICES])
def test_degenerate_matrices(
    build: Callable[[ad.Node], ad.Node], at: torch.Tensor, wanted: list[tuple[str, str, int]]
) -> None:
    a = ad.Variable('a')
    assert places(build(a), {a: at}) == wanted


def test_distances_of_equal_rows() -> None:
    a = ad.Variable('a')
    rows = t([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    for p, place in (
        (2.0, ('vector_norm', 'kink', 5)),
        (1.0, ('abs', 'kink', 10)),
        (3.0, ('vector_norm', 'kink', 5)),
    ):
        distances = cdist(a, rows, p)
        assert places(distances, {a: rows}) == [place]
        (g,) = ad.Evaluator(ad.gradients(ad.sum(distances), [a])).run({a: rows})
        assert g.isfinite().all()


def test_products_have_no_places() -> None:
    x = ad.Variable('x')
    assert places(ad.registry()['prod'](x), {x: t([0.0, 0.0, 2.0])}) == []


def test_extremes_at_positions() -> None:
    x = ad.Variable('x')
    index = torch.tensor([0, 0, 1, 1])
    zeros = ad.constant(t([1.0, 0.0]))
    for include, count in ((True, 2), (False, 1)):
        y = ad.registry()['scatter_reduce'](zeros, 0, index, x, 'amax', include_self=include)
        assert places(y, {x: t([1.0, 0.5, 3.0, 3.0])}) == [('scatter_reduce', 'tie', count)]


@pytest.mark.parametrize(
    ('program', 'at', 'found'),
    [
        (
            lambda x: torch.special.gammainc(torch.tensor([0.5, 1.0, 2.0, 0.5]), x),
            [0.0, 0.0, 0.0, 1.0],
            [('igamma', 'pole', 1)],
        ),
        (
            lambda x: F.binary_cross_entropy(x, torch.tensor([1.0, 0.0, 0.5]), reduction='none'),
            [0.0, 1.0, 0.3],
            [('binary_cross_entropy', 'pole', 2)],
        ),
        # In the second row classes 0 and 1 are targets, which are not held apart.
        (
            lambda x: F.multilabel_margin_loss(x, torch.tensor([[0, -1, -1], [0, 1, -1]]), reduction='none'),
            [[1.0, 0.0, 0.5], [1.0, 0.0, 0.5]],
            [('multilabel_margin', 'kink', 1)],
        ),
        # The second bag has one row twice.
        (
            lambda x: F.embedding_bag(torch.tensor([0, 1, 2, 0, 0]), x, torch.tensor([0, 3]), mode='max'),
            [[1.0, 5.0], [1.0, 2.0], [0.0, 5.0]],
            [('embedding_bag', 'tie', 2)],
        ),
        (
            lambda x: F.embedding_bag(torch.tensor([0, 1, 2, 0, 0]), x, torch.tensor([0, 3]), mode='sum'),
            [[1.0, 5.0], [1.0, 2.0], [0.0, 5.0]],
            [],
        ),
        # The windows are at 0, 2 and 3 along each axis.
        (
            lambda x: F.fractional_max_pool2d(
                x[None, None], 2, output_size=3, _random_samples=torch.full((1, 1, 2), 0.4)
            ),
            [[1.0, 1, 0, 0, 5], [0, 1, 2, 2, 5], [3, 4, 4, 2, 5], [0, 0, 0, 0, 5], [1, 2, 3, 4, 5]],
            [('fractional_max_pool_positions', 'tie', 5)],
        ),
    ],
)
def test_places_of_losses_and_lookups(
    program: Callable[[ad.Node], ad.Node], at: list[float], found: list[tuple[str, str, int]]
) -> None:
    value = torch.tensor(at)
    x = ad.Variable('x', tuple(value.shape), value.dtype)
    assert places(program(x), {x: value}) == found


def test_infinities_that_meet() -> None:
    x = ad.Variable('x')
    for name in ('logaddexp', 'logaddexp2'):
        assert places(ad.registry()[name](x, t(-INF)), {x: t([-INF, 0.0])}) == [(name, 'tie', 1)]
    found = ad.registry()['logcumsumexp'](x, 0)
    assert places(found, {x: t([-INF, -INF, 0.0])}) == [('logcumsumexp', 'pole', 2)]


def test_coordinates_at_entries() -> None:
    image, grid = ad.Variable('image'), ad.Variable('grid')
    y = ad.registry()['grid_sampler'](image, grid, 2, 0, 0, True)
    at = {image: torch.ones(1, 1, 3, 3, dtype=torch.float64), grid: t([[[[0.0, 0.25]]]])}
    assert places(y, at) == [('grid_sampler', 'kink', 1)]
