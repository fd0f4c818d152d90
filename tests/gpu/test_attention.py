"""The derivative of attention on a GPU, by the kernels that torch chooses there."""

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip('needs a CUDA device', allow_module_level=True)

import adjoint as ad
from adjoint.ops.attention import attention
from benchmarks.peak import measured_peak

# Relative to the largest entry: for tensor cores multiply with fewer bits.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def operands(dtype: torch.dtype, length: int, *, is_dense: bool = True) -> list[torch.Tensor]:
    """Queries, keys, values and a cotangent."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(2, 3, length, 64, generator=generator, dtype=torch.float64) for _ in range(4)]
    drawn = drawn if is_dense else [drawn[0], drawn[1][:1], drawn[2][:, :1], drawn[3]]
    return [x.to('cuda', dtype) for x in drawn]


def assert_is(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    tolerance = TOLERANCES[found.dtype] * float(wanted.abs().max())
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize('has_mask', [False, True])
@pytest.mark.parametrize('is_causal', [False, True])
@pytest.mark.parametrize('dtype', TOLERANCES, ids=str)
@pytest.mark.parametrize('is_dense', [True, False])
@pytest.mark.parametrize('executor', ['reference', 'plan', 'cudagraph', 'compiled'])
def test_gradients_are_those_of_the_formula(
    dtype: torch.dtype, is_causal: bool, has_mask: bool, is_dense: bool, executor: str
) -> None:
    if is_causal and has_mask:
        pytest.skip('torch takes one of them')
    if executor == 'compiled' and not (is_dense and dtype == torch.float32):
        pytest.skip('compiling takes long')
    length = 130
    query, key, value, ct = operands(dtype, length, is_dense=is_dense)
    q, k, v, c = (ad.Variable(name) for name in 'qkvc')
    mask = (torch.rand(length, length, generator=torch.Generator().manual_seed(1)) > 0.3).cuda()
    held = ad.constant(mask) if has_mask else None
    grads = ad.gradients(ad.sum(attention(q, k, v, held, is_causal=is_causal) * c), [q, k, v])
    evaluator = ad.Evaluator(grads, executor=executor, optimize='none' if executor == 'reference' else 'fast')

    leaves = [x.double().requires_grad_() for x in (query, key, value)]
    scores = leaves[0] @ leaves[1].mT / 8
    if is_causal:
        scores = scores + torch.full((length, length), -torch.inf, device='cuda').triu(1)
    if has_mask:
        scores = scores.masked_fill(~mask, -torch.inf)
    wanted = torch.autograd.grad((scores.softmax(-1) @ leaves[2] * ct).sum(), leaves)
    for _ in range(3):
        for found, theirs in zip(evaluator.run({q: query, k: key, v: value, c: ct}), wanted, strict=True):
            assert_is(found, theirs)


def test_no_scores_are_kept() -> None:
    length = 4096
    query, key, value, ct = operands(torch.bfloat16, length)
    q, k, v, c = (ad.Variable(name) for name in 'qkvc')
    evaluator = ad.Evaluator(ad.gradients(ad.sum(attention(q, k, v, is_causal=True) * c), [q, k, v]))
    feed = {q: query, k: key, v: value, c: ct}
    for _ in range(3):
        evaluator.run(feed)
    assert measured_peak(lambda: evaluator.run(feed), 'cuda') < 2 * 3 * length * length * 2 / 4
