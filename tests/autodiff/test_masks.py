"""Gradients behind masks are right, with values from mpmath; without masks the graphs stay as they are."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import adjoint as ad
from adjoint.ops import registry
from adjoint.ops.embedding import embedding
from tests.autodiff.masked import ENTRYWISE, KINDS, derivatives, variable
from tests.ops.case import t

F64 = torch.float64

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ENTRYWISE)
def test_what_is_masked_has_no_part_in_the_gradient(name: str, kind: str) -> None:
    case = ENTRYWISE[name]
    at = t(case.at)
    x = variable(at, kind)
    first, second = t(derivatives(case, 1)), t(derivatives(case, 2))
    (g,) = ad.gradients(case.build(x), [x])
    (h,) = ad.gradients(g, [x])
    got, again = ad.Evaluator([g, h]).run({x: at})
    torch.testing.assert_close(got, first, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(again, second, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('name', ENTRYWISE)
def test_functions_too(name: str) -> None:
    case = ENTRYWISE[name]
    got = ad.grad(lambda x: ad.sum(case.build(x)))(t(case.at))
    torch.testing.assert_close(got, t(derivatives(case, 1)), rtol=1e-12, atol=1e-12)


def test_it_can_be_switched_off() -> None:
    x = ad.Variable('x')
    (g,) = ad.gradients(ad.where(x > 0, ad.log(x), 0), [x], nan_safe=False)
    (got,) = ad.Evaluator([g]).run({x: t([0.0, 2.0])})
    assert got.isnan().tolist() == [True, False]


# Data with holes: the rows or entries that are nan are masked after they were used.

ROWS = t([[1.0, 2.0, -1.0], [NAN, NAN, 0.5], [0.3, -0.2, 2.0]])
WHOLE = ROWS[[0, 2]]
W, V = t([[0.5, -0.3], [0.2, 0.7], [-0.4, 0.1]]), t([[0.6, -1.1], [0.9, 0.4]])


def _net(x: Any, w: Any, v: Any) -> Any:
    return (torch.tanh(x @ w) @ v) ** 2


@pytest.mark.parametrize('kind', KINDS)
def test_rows_that_are_missing_have_no_part_in_the_gradients_of_weights(kind: str) -> None:
    x, w, v = (
        ad.Variable(n, None if kind == 'untyped' else s, None if kind == 'untyped' else torch.float64)
        for n, s in (('x', ('n', 3) if kind == 'named' else (3, 3)), ('w', (3, 2)), ('v', (2, 2)))
    )
    missing = torch.isnan(x[:, :1])
    loss = ad.sum(ad.where(missing, 0, _net(x, w, v)))
    got = ad.Evaluator(ad.gradients(loss, [w, v])).run({x: ROWS, w: W, v: V})
    with torch.enable_grad():
        leaves = [W.clone().requires_grad_(), V.clone().requires_grad_()]
        expected = torch.autograd.grad(_net(WHOLE, *leaves).sum(), leaves)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


def test_rows_that_are_left_out_by_an_index_too() -> None:
    w, v = ad.Variable('w'), ad.Variable('v')
    x = ad.constant(ROWS)
    loss = ad.sum(_net(x, w, v)[torch.tensor([0, 2])])
    got = ad.Evaluator(ad.gradients(loss, [w, v])).run({w: W, v: V})
    with torch.enable_grad():
        leaves = [W.clone().requires_grad_(), V.clone().requires_grad_()]
        expected = torch.autograd.grad(_net(WHOLE, *leaves).sum(), leaves)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


def test_targets_that_are_missing() -> None:
    w = ad.Variable('w', (3,), torch.float64)
    x, target = t([[1.0, 2, 3], [0, 1, 0], [2, 0, 1]]), t([1.0, NAN, -2])
    wrong = (ad.constant(x) @ w - target) ** 2
    seen = torch.isnan(ad.constant(target))
    mean = ad.sum(ad.where(seen, 0, wrong)) / 2
    (got,) = ad.Evaluator(ad.gradients(mean, [w])).run({w: t([1.0, 1, 1])})
    residual = x[[0, 2]].sum(1) - target[[0, 2]]
    torch.testing.assert_close(got, residual @ x[[0, 2]], rtol=1e-14, atol=0)


def test_a_masked_logsumexp_of_what_is_infinite() -> None:
    x = ad.Variable('x', (2, 3), torch.float64)
    at = t([[0.0, 1, 4], [0, 0, 2]])
    kept = x > 0
    y = ad.sum(ad.logsumexp(ad.where(kept, ad.log(x), -INF), 1))
    (got,) = ad.Evaluator(ad.gradients(y, [x])).run({x: at})
    # log(sum of x) over what is kept
    torch.testing.assert_close(got, t([[0, 0.2, 0.2], [0, 0, 0.5]]), rtol=1e-14, atol=0)


# What it costs.


def count(nodes: Sequence[ad.Node]) -> int:
    return len(ad.topological_sort(nodes))


def both(y: ad.Node, wanted: Sequence[ad.Node]) -> tuple[int, int]:
    """Nodes of the gradients with and without."""
    return count(ad.gradients(y, wanted)), count(ad.gradients(y, wanted, nan_safe=False))


def attention(ids: ad.Node, weights: dict[str, ad.Node], mask: ad.Node | None) -> ad.Node:
    x = embedding(weights['table'], ids)
    for layer in range(2):
        q, k, v = (ad.layernorm(x, (8,)) @ weights[f'{n}{layer}'] for n in 'qkv')
        scores = q @ ad.transpose(k, -2, -1) / 8**0.5
        if mask is not None:
            scores = ad.where(mask, scores, -INF)
        x = x + ad.softmax(scores) @ v
        x = x + ad.relu(x @ weights[f'up{layer}']) @ weights[f'down{layer}']
    return ad.log_softmax(x @ ad.transpose(weights['table'], 0, 1))


@pytest.mark.parametrize('masked', [False, True])
def test_causal_attention_and_a_masked_loss_cost_nothing(masked: bool) -> None:
    ids = ad.Variable('ids', (3, 5), torch.int64)
    shapes = {'q': (8, 8), 'k': (8, 8), 'v': (8, 8), 'up': (8, 16), 'down': (16, 8)}
    weights = {
        f'{n}{layer}': ad.Variable(f'{n}{layer}', s, torch.float64)
        for layer in range(2)
        for n, s in shapes.items()
    }
    weights['table'] = ad.Variable('table', (11, 8), torch.float64)
    causal = ad.constant(torch.ones(5, 5, dtype=torch.bool).tril()) if masked else None
    out = attention(ids, weights, causal)
    if masked:
        out = ad.where((ids > 2)[:, :, None], out, 0)
    with_it, without = both(ad.sum(out[..., 0]), list(weights.values()))
    assert with_it == without


def test_a_mask_before_a_pole_moves_its_where() -> None:
    x = ad.Variable('x', (4,), torch.float64)
    assert both(ad.where(x > 0, ad.log(x), 0), [x]) == (7, 7)
    chain = ad.sin(x)
    for _ in range(10):
        chain = ad.log(chain)
    assert len(set(both(ad.where(x > 0, chain, 0), [x]))) == 1


def test_hand_written_norms_do_not_count_as_poles() -> None:
    x, w = ad.Variable('x', ('n', 4), torch.float64), ad.Variable('w', (4, 4), torch.float64)
    h = embedding(w, ad.Variable('i', ('n',), torch.int64))
    apart = h - ad.mean(h, -1, keepdim=True)
    for root in (
        1 / ad.sqrt(ad.mean(apart**2, -1, keepdim=True) + 1e-5),
        ad.rsqrt(1e-5 + ad.mean(apart * apart, -1, True)),
    ):
        y = ad.where(x > 0, apart * root @ w, 0)
        with_it, without = both(ad.sum(y), [w])
        assert with_it == without


def test_a_mask_over_a_deep_chain() -> None:
    x = ad.Variable('x')
    y = x
    for _ in range(20_000):
        y = ad.sin(y)
    (g,) = ad.gradients(ad.where(x > 0, ad.log(y), 0), [x])
    assert count([g]) < 130_000


NORMALISED: dict[str, Callable[[Any], Any]] = {
    'softmax': lambda x: torch.softmax(x, -1),
    'log_softmax': lambda x: torch.log_softmax(x, -1),
    'layernorm': lambda x: torch.nn.functional.layer_norm(x, (3,)),
    'logsumexp': lambda x: torch.logsumexp(x, -1, keepdim=True),
}


@pytest.mark.parametrize('name', NORMALISED)
def test_rows_that_are_masked_as_wholes_stay_zero_through_what_normalises_them(name: str) -> None:
    """The gradients of the rows that count are those of these rows alone; the others are 0."""
    weights = t([[1.0, -2.0, 0.5], [0.3, 0.7, 2.0], [1.5, 0.1, -1.0]])
    at = t([[3.0, -1.0, 2.0], [0.0, 0.0, 0.0], [0.2, 0.5, -1.5]])

    def scaled(x: Any) -> Any:
        return NORMALISED[name](x / torch.sqrt((x * x).sum(-1, keepdim=True)))

    def masked(x: Any) -> Any:
        valid = (x * x).sum(-1, keepdim=True) > 0
        return (weights * torch.where(valid, scaled(x), 0)).sum()

    def alone(x: Any) -> Any:
        return (weights[[0, 2]] * scaled(x)).sum()

    counts = at[[0, 2]]
    wanted = torch.zeros_like(at)
    wanted[[0, 2]] = torch.func.grad(alone)(counts)
    torch.testing.assert_close(ad.grad(masked)(at), wanted, rtol=1e-11, atol=1e-12)
    direction = t([[0.3, 0.1, -0.2], [1.0, 2.0, 3.0], [-0.4, 0.6, 0.1]])
    again = torch.zeros_like(at)
    again[[0, 2]] = torch.func.grad(lambda x: (torch.func.grad(alone)(x) * direction[[0, 2]]).sum())(counts)
    product = ad.grad(lambda x: (ad.grad(masked)(x) * direction).sum())(at)
    torch.testing.assert_close(product, again, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(*ad.hvp(masked, (at,), (direction,)), again, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize('name', NORMALISED)
def test_rows_of_data_with_holes_are_left_out_of_the_gradient(name: str) -> None:
    data = t([[3.0, -1.0, 2.0], [NAN, 0.0, 1.0]])
    weights = t([[1.0, -2.0, 0.5]])

    def masked(w: Any, data: Any) -> Any:
        valid = torch.isnan(data).sum(-1, keepdim=True) < 1
        return torch.where(valid, weights * NORMALISED[name](data + w), 0).sum()

    at = t([0.5, 1.0, -1.0])
    wanted = torch.func.grad(lambda w: (weights * NORMALISED[name](data[:1] + w)).sum())(at)
    torch.testing.assert_close(ad.grad(masked)(at, data), wanted, rtol=1e-11, atol=1e-12)


AT = t([0.0, 0.5, 2.0, -1.0])
SLOPE, CURVE = t([0.0, 2.0, 0.5, 0.0]), t([0.0, -4.0, -0.25, 0.0])


def masked_log(x: Any) -> Any:
    return torch.where(x > 0, torch.log(x), 0)


def scanned_log(x: Any) -> Any:
    total, _ = ad.scan(lambda c, entry: (c + masked_log(entry), c), t(0.0), x)
    return total


COMPOSED: dict[str, Callable[[], tuple[Any, torch.Tensor]]] = {
    'grad of vmap': lambda: (ad.grad(lambda x: ad.vmap(masked_log)(x).sum())(AT[None]), SLOPE[None]),
    'vmap of grad': lambda: (ad.vmap(ad.grad(lambda x: masked_log(x).sum()))(AT[None]), SLOPE[None]),
    'per example': lambda: (
        ad.vmap(ad.grad(lambda w, x: masked_log(w * x)), in_axes=(None, 0))(t(2.0), AT),
        t([0.0, 0.5, 0.5, 0.0]),
    ),
    'hessian': lambda: (ad.hessian(lambda x: masked_log(x).sum())(AT), torch.diag(CURVE)),
    'jvp of vjp': lambda: (
        ad.jvp(ad.grad(lambda x: masked_log(x).sum()), (AT,), (torch.ones_like(AT),))[1],
        CURVE,
    ),
    'jacobian': lambda: (ad.jacrev(masked_log)(AT), torch.diag(SLOPE)),
    'sparse': lambda: (ad.jacobian(masked_log, sparse=True)(AT).to_dense(), torch.diag(SLOPE)),
    'checkpoint': lambda: (ad.grad(lambda x: ad.checkpoint(masked_log)(x).sum())(AT), SLOPE),
    'cond': lambda: (
        ad.grad(lambda x: ad.cond(x.sum() > 0, lambda x: masked_log(x).sum(), lambda x: x.sum(), x))(AT),
        SLOPE,
    ),
    'scan': lambda: (ad.grad(scanned_log)(AT), SLOPE),
    'hessian of scan': lambda: (ad.hessian(scanned_log)(AT), torch.diag(CURVE)),
    'vmap of grad of scan': lambda: (ad.vmap(ad.grad(scanned_log))(AT[None]), SLOPE[None]),
    'masked_fill': lambda: (ad.grad(lambda x: torch.log(x).masked_fill(x <= 0, 0.0).sum())(AT), SLOPE),
    'an overflow that is filled': lambda: (
        ad.grad(lambda x: torch.exp(1000 * x).masked_fill(x > 0, 0.0).sum())(AT),
        t([1000.0, 0.0, 0.0, 0.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', COMPOSED)
def test_masks_hold_in_compositions(name: str) -> None:
    got, wanted = COMPOSED[name]()
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    'program', [lambda x: masked_log(x).sum(), lambda x: torch.log(x).masked_fill(x <= 0, 0.0).sum()]
)
def test_masks_of_imported_programs_hold(program: Callable[[torch.Tensor], torch.Tensor]) -> None:
    graph = ad.from_torch(program, AT)
    (got,) = ad.Evaluator(ad.gradients(graph.outputs, [*graph.variables])).run({graph.variables[0]: AT})
    torch.testing.assert_close(got, SLOPE, rtol=1e-12, atol=1e-12)


def test_labels_that_do_not_count_start_no_masks_through_a_model():
    images, labels = ad.Variable('images', (4, 1, 8, 8), F64), ad.Variable('labels', (4,), torch.int64)
    first, second = ad.Variable('first', (3, 1, 3, 3), F64), ad.Variable('second', (5, 3, 3, 3), F64)
    h = F.conv2d(F.conv2d(images, first).relu(), second).relu()
    loss = F.cross_entropy(h.mean((2, 3)), labels)
    names = {node.op.name for node in ad.topological_sort(ad.gradients(loss, [first, second]))}
    assert names.isdisjoint({'any', 'any_like', 'logical_and'})


def test_labels_that_do_not_count_are_safe_at_a_pole():
    p, labels = ad.Variable('p', (3, 2), F64), ad.Variable('labels', (3,), torch.int64)
    loss = F.nll_loss(ad.log(p), labels, ignore_index=-1)
    values = {
        p: torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.2, 0.8]], dtype=F64),
        labels: torch.tensor([0, -1, 1]),
    }
    (slope,) = ad.Evaluator(ad.gradients(loss, [p])).run(values)
    wanted = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [0.0, -0.625]], dtype=F64)
    torch.testing.assert_close(slope, wanted, rtol=0, atol=1e-15)


def test_the_name_where_stands_for_the_op_of_users():
    assert registry()['where'] is ad.where
