"""The derivative of attention on long sequences, by torch's kernels: the formula's, and no weights kept."""

import pytest
import torch

import adjoint as ad
from adjoint.ops.attention import attention, attention_derivative, by_kernels, has_kernels
from adjoint.ops.several import items
from benchmarks.peak import measured_peak
from tests.ops.case import spread

CPU = torch.device('cpu')
LONG = 257


def operands(heads: tuple[int, ...] = (1, 2), length: int = LONG) -> list[torch.Tensor]:
    """Queries, keys, values and a cotangent."""
    return [spread(*heads, length, 4, seed=i) / 4 for i in range(4)]


@pytest.mark.parametrize('scale', [None, 0.3])
@pytest.mark.parametrize('is_causal', [False, True])
def test_kernels_give_what_the_formula_gives(is_causal: bool, scale: float | None) -> None:
    assert has_kernels(CPU, LONG, LONG)
    values = operands()
    variables = [ad.Variable(name, tuple(v.shape), v.dtype) for name, v in zip('qkvc', values, strict=True)]
    node = ad.Node(variables, attention_derivative, {'is_causal': is_causal, 'scale': scale})
    feed = dict(zip(variables, values, strict=True))
    formula = ad.Evaluator(attention_derivative.written_out(node)).run(feed)
    for executor in ('reference', 'plan'):
        for _ in range(2):
            found = ad.Evaluator(list(items(node)), executor=executor).run(feed)
            torch.testing.assert_close(found, formula, rtol=1e-12, atol=1e-12)


def test_operands_that_are_broadcast_get_the_cotangents_of_all() -> None:
    query, key, value, ct = operands((3, 2))
    found = by_kernels([query, key[0], value[:1], ct], True, None)
    wanted = by_kernels([query, key[0].expand(query.shape), value[:1].expand(query.shape), ct], True, None)
    assert [x.shape for x in found] == [query.shape] * 3
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_gradients_of_long_and_short_sequences_are_those_of_torch_up_to_the_second_order() -> None:
    for length in (3, LONG):
        query, key, value, ct = operands(length=length)
        q, k, v = (ad.Variable(name) for name in 'qkv')
        y = ad.sum(attention(q, k, v, is_causal=True) * ct)
        first = ad.gradients(y, [q, k, v])
        second = ad.gradients(sum((ad.sum(g * g) for g in first), ad.constant(0.0)), [q, k, v])
        found = ad.Evaluator([*first, *second]).run({q: query, k: key, v: value})

        leaves = [x.clone().requires_grad_() for x in (query, key, value)]
        scores = leaves[0] @ leaves[1].mT / 2 + torch.full((length, length), -torch.inf).triu(1)
        grads = torch.autograd.grad((scores.softmax(-1) @ leaves[2] * ct).sum(), leaves, create_graph=True)
        wanted = [*grads, *torch.autograd.grad(sum((g * g).sum() for g in grads), leaves)]
        torch.testing.assert_close(found, [w.detach() for w in wanted], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('heads', [1, 2])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_no_weights_of_long_sequences_are_kept_and_the_peak_is_told(dtype: torch.dtype, heads: int) -> None:
    length = 2048
    values = [x.to(dtype) for x in operands((1, heads), length)[:3]]
    variables = [ad.Variable(name) for name in 'qkv']
    y = ad.sum(attention(*variables))
    evaluator = ad.Evaluator(ad.gradients(y, variables))
    feed = dict(zip(variables, values, strict=True))
    for _ in range(2):
        evaluator.run(feed)
    measured = measured_peak(lambda: evaluator.run(feed))
    assert measured < heads * length * length * dtype.itemsize
    assert evaluator.memory(feed).peak_bytes == pytest.approx(measured, rel=0.01)


def test_a_batch_is_one_call() -> None:
    values = operands((3, 1))
    variables = [ad.Variable(name, (1, LONG, 4), torch.float64) for name in 'qkvc']

    def cotangents(*xs: ad.Node) -> list[ad.Node]:
        return list(items(ad.Node(xs, attention_derivative, {'is_causal': False, 'scale': None})))

    batches = [ad.Variable(name, (3, 1, LONG, 4), torch.float64) for name in 'qkvc']
    nodes = ad.vmap(cotangents)(*batches)
    found = ad.Evaluator(nodes).run(dict(zip(batches, values, strict=True)))
    apart = [
        ad.Evaluator(cotangents(*variables)).run(dict(zip(variables, (x[i] for x in values), strict=True)))
        for i in range(3)
    ]
    for k, one in enumerate(found):
        torch.testing.assert_close(one, torch.stack([each[k] for each in apart]), rtol=1e-12, atol=1e-12)
    assert sum(node.op is attention_derivative for node in ad.topological_sort(nodes)) == 1
