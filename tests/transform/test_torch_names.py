"""Functions of torch and tensor methods on nodes build the graph that torch's own values agree with."""

import pytest
import torch
import torch.nn.functional as F

import adjoint as ad

A = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]], dtype=torch.float64)
B = torch.tensor([[0.9, 0.2, -0.5], [-0.1, 1.3, 0.8]], dtype=torch.float64)
INDEX = torch.tensor([[0, 2, 1], [1, 1, 0]])

UNARY = [
    torch.exp, torch.expm1, torch.sin, torch.cos, torch.tan, torch.atan, torch.sinh, torch.cosh, torch.tanh,
    torch.asinh, torch.sigmoid, torch.relu, torch.abs, torch.neg, torch.square, torch.erf, torch.erfc,
    torch.special.expm1, F.relu, F.silu, F.gelu, F.logsigmoid, F.softplus, torch.flatten, torch.reciprocal,
    torch.sum, torch.mean, torch.max, torch.min, torch.amax, torch.cumsum, torch.std, torch.var, torch.tril,
]  # fmt: skip

CASES = {
    'add alpha': lambda a, b: torch.add(a, b, alpha=2.5),
    'sub alpha': lambda a, b: torch.sub(a, b, alpha=2),
    'rsub': lambda a, b: torch.rsub(a, b),
    'keywords': lambda a, b: torch.add(input=a, other=b),
    'operators with tensors': lambda a, b: (B + a) * (B - b) / (B * B + 1) - 3 / (a * a + 2),
    'tensor on the left of every operator': lambda a, b: B @ a.T + (b < B).double() @ (a >= B).double().T,
    'pow': lambda a, b: torch.pow(a * a + 1, b) + a.pow(2) + 2**b,
    'where': lambda a, b: torch.where(a > b, a * 2, b) + torch.where(a > 0, a, 0.0),
    'maximum': lambda a, b: torch.maximum(a, b) + torch.minimum(a, b) * 2 + torch.max(a, b),
    'max along': lambda a, b: torch.max(a, dim=1).values * a.min(0, keepdim=True).values.sum() + b[:, 0],
    'clamp': lambda a, b: a.clamp(-0.5, 0.5) + torch.clamp(b, min=0.1) + b.clamp_max(0.2) + a.clamp_min(0),
    'clamp by tensors': lambda a, b: torch.clamp(a, min=b),
    'matmul': lambda a, b: torch.matmul(a, b.T) + a.mm(b.transpose(0, 1)) + F.linear(a, b),
    'bmm': lambda a, b: torch.bmm(a[None], b.t()[None])[0],
    'dot and mv': lambda a, b: torch.dot(a[0], b[1]) * torch.mv(a, b[0]),
    'softmax': lambda a, b: torch.softmax(a, 1) * F.log_softmax(b, dim=-1) + a.softmax(0),
    'softmax dtype': lambda a, b: F.softmax(a, dim=1, dtype=torch.float32).double() + b,
    'layer_norm': lambda a, b: F.layer_norm(a, (3,), b[0], b[1], 1e-6) + F.layer_norm(b, [3]),
    'losses': lambda a, b: (
        F.mse_loss(a, b)
        + F.cross_entropy(a, torch.tensor([0, 2]))
        + F.mse_loss(a, b, reduction='sum')
        + F.cross_entropy(b, torch.tensor([1, 1]), reduction='sum')
    ),
    'unreduced losses': lambda a, b: F.mse_loss(a, b, reduction='none'),
    'reductions': lambda a, b: a.sum(1, keepdim=True) * b.mean(dim=(0, 1)) + torch.sum(b, axis=0),
    'sum dtype': lambda a, b: torch.sum(a, dtype=torch.float32).double() * b,
    'logsumexp': lambda a, b: torch.logsumexp(a, 1) + b.logsumexp((0, 1)),
    'spread': lambda a, b: a.var(1) + a.std(dim=1, correction=0) + torch.var(b),
    'views': lambda a, b: (
        a.view(3, 2) @ b.reshape(2, 3).permute(0, 1) + a.view_as(b).unsqueeze(0).squeeze(0).flatten().sum()
    ),
    'expand': lambda a, b: a[:1].expand(2, -1) * b + torch.broadcast_to(a[0], (2, 3)),
    'cat and stack': lambda a, b: torch.cat([a, b], dim=1).sum(1) + torch.stack((a, b)).mean((0, 2)),
    'flip': lambda a, b: torch.flip(a, [1]) * b.flip(0, 1),
    'gather': lambda a, b: torch.gather(a, 1, INDEX) + b.gather(1, INDEX),
    'scatter': lambda a, b: torch.scatter_add(a, 1, INDEX, b),
    'select': lambda a, b: torch.index_select(a, 1, INDEX[0]) + b.index_select(1, INDEX[1]),
    'index_add': lambda a, b: torch.index_add(a, 1, INDEX[1], b),
    'index': lambda a, b: (
        a[..., 1:] * b[:, [0, 2]] + a[:, INDEX[0] > 0].sum() + b[INDEX[0, :2].clamp(max=1), 1]
    ),
    'index by a node': lambda a, b: a[torch.argmax(b, 1) * 0] + b,
    'casts': lambda a, b: a.float().double() + b.to(torch.float32).type_as(a) + a.to(b).half().double() * 0,
    'identities': lambda a, b: a.clone() + b.contiguous(),
    'detach': lambda a, b: a.detach() * b,
    'steps': lambda a, b: torch.round(a * 3) + torch.floor(b) * a + torch.sign(b) + torch.trunc(a),
    'hypot and atan2': lambda a, b: torch.hypot(a, b) + torch.atan2(a, b),
    'T': lambda a, b: a.T @ b + a.mT @ b,
    'cumsum': lambda a, b: a.cumsum(1) * torch.cumsum(b, dim=0),
}


def agree(f: object, kinds: tuple[bool, ...] = (False, True), tolerance: float = 1e-12) -> None:
    """Value and gradient agree with torch on the same code."""
    x, y = A.clone().requires_grad_(), B.clone().requires_grad_()
    expected = f(x, y)
    weights = torch.linspace(0.5, 1.5, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    grads = torch.autograd.grad((expected * weights).sum(), (x, y), allow_unused=True)
    for typed in kinds:
        a, b = (ad.Variable(n, *([(2, 3), torch.float64] if typed else [])) for n in 'ab')
        node = f(a, b)
        found = ad.gradients(ad.sum(node * weights), [a, b])
        value, *got = ad.Evaluator([node, *found]).run({a: A, b: B})
        assert torch.allclose(value, expected, rtol=tolerance, atol=tolerance)
        for g, e, like in zip(got, grads, (A, B), strict=True):
            assert torch.allclose(
                g, torch.zeros_like(like) if e is None else e, rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize('function', UNARY, ids=lambda f: f.__name__)
def test_functions_of_one_tensor(function: object) -> None:
    extra = (1,) if function is torch.cumsum else ()
    agree(lambda a, b: function(a, *extra) * (b.sum() if function is not torch.relu else b))


@pytest.mark.parametrize('case', CASES, ids=str)
def test_code_written_for_torch_runs_on_nodes(case: str) -> None:
    # A cast to the dtype of another node asks for it.
    kinds = (True,) if case == 'casts' else (False, True)
    agree(CASES[case], kinds, tolerance=1e-7 if 'dtype' in case or case == 'casts' else 1e-12)


@pytest.mark.parametrize(
    ('action', 'message'),
    [
        (lambda x: torch.geqrf(x), 'geqrf'),
        (lambda x: F.dropout(x), 'dropout'),
        (lambda x: torch.sin(x, out=torch.ones(2)), 'out='),
        (lambda x: F.relu(x, inplace=True), 'inplace=True'),
    ],
)
def test_what_is_not_supported_is_refused_by_name(action: object, message: str) -> None:
    with pytest.raises(ad.UnsupportedOpError, match=message):
        action(ad.Variable('x', (2, 3), torch.float32))
