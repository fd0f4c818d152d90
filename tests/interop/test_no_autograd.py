"""No gradient path of ours calls torch's autograd: it works with the engine and dual numbers broken."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch.func import grad, jvp

import adjoint as ad
from tests.interop.test_training import MODELS
from tests.opinfo import op_db
from tests.opinfo_claims import full_name, trial

# Fast, and from every family: elementwise, reductions, products, indexing, linear algebra, networks.
NAMES = (
    'sin', 'lgamma', 'atan2', 'where', 'sum', 'prod', 'logsumexp', 'matmul', 'gather', 'index_put', 'cumsum',
    'linalg.solve', 'linalg.det', 'nn.functional.conv2d', 'nn.functional.layer_norm', 'nn.functional.gelu',
    'nn.functional.max_pool2d', 'nn.functional.cross_entropy', 'fft.fft', 'sort', 'softmax',
)  # fmt: skip


class Called(Exception):
    """Torch's autograd ran."""


def _raise(*_: Any, **__: Any) -> None:
    raise Called


class _BrokenEngine:
    """In the place of what runs every backward pass."""

    run_backward = _raise


@pytest.fixture
def broken_autograd() -> Iterator[None]:
    """Make every way into torch's autograd raise."""
    with (
        mock.patch.object(torch.autograd.Variable, '_execution_engine', _BrokenEngine()),
        mock.patch.object(torch.autograd.graph, '_engine_run_backward', _raise),
        mock.patch.object(torch.autograd, '_engine_run_backward', _raise),
        mock.patch.object(torch._C._functorch, '_grad_increment_nesting', _raise),
        mock.patch.object(torch._C._functorch, '_jvp_increment_nesting', _raise),
        mock.patch.object(torch._VF, '_make_dual', _raise),
        mock.patch.object(torch.autograd, 'grad', _raise),
        mock.patch.object(torch.autograd, 'backward', _raise),
        mock.patch.object(torch.Tensor, 'backward', _raise),
        mock.patch.object(torch.autograd.forward_ad, 'make_dual', _raise),
        mock.patch.object(torch.autograd.forward_ad, 'enter_dual_level', _raise),
        mock.patch.object(torch.func, 'grad', _raise),
        mock.patch.object(torch.func, 'vjp', _raise),
        mock.patch.object(torch.func, 'jvp', _raise),
    ):
        yield


@pytest.mark.usefixtures('broken_autograd')
def test_the_fixture_breaks_autograd() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(Called):
        (x * x).sum().backward()
    with pytest.raises(Called):
        torch.autograd.grad((x * x).sum(), x)
    with pytest.raises(Called):
        torch.autograd.graph._engine_run_backward(((x * x).sum(),))
    with pytest.raises(Called), torch.autograd.forward_ad.dual_level():
        torch.autograd.forward_ad.make_dual(x, x)
    # As it was imported before: below its name in `torch.func`.
    with pytest.raises(Called):
        grad(torch.sin)(torch.ones(()))
    with pytest.raises(Called):
        jvp(torch.sin, (torch.ones(()),), (torch.ones(()),))


@pytest.mark.usefixtures('broken_autograd')
@pytest.mark.parametrize(('kind', 'data'), MODELS, ids=[m.__name__ for m, _ in MODELS])
def test_a_model_is_differentiated_without_autograd(
    kind: type[torch.nn.Module], data: Callable[[], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    torch.manual_seed(0)
    model, batch = kind().double(), data()
    graph = ad.from_torch(model, *batch)
    grads = ad.gradients(graph.outputs, list(graph.parameters.values()))
    for gradient in ad.Evaluator(grads).run(graph.feed(*batch)):
        assert not gradient.requires_grad
        assert gradient.abs().max() > 0


@pytest.mark.usefixtures('broken_autograd')
def test_a_model_of_transformers_is_differentiated_without_autograd() -> None:
    transformers = pytest.importorskip('transformers')
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.arange(8)[None]
    graph = ad.from_torch(model, kwargs={'input_ids': ids, 'labels': ids, 'use_cache': False})
    grads = ad.gradients(graph.outputs.loss, list(graph.parameters.values()))
    found = ad.Evaluator(grads).run(graph.feed(input_ids=ids, labels=ids, use_cache=False))
    assert all(g.isfinite().all() for g in found)


@pytest.mark.usefixtures('broken_autograd')
@pytest.mark.parametrize('name', NAMES)
def test_an_operator_is_differentiated_without_autograd(name: str) -> None:
    op = next(o for o in op_db if full_name(o) == name)
    sample, *_ = op.sample_inputs('cpu', torch.float64, requires_grad=True)
    made = trial(op, sample)
    assert made is not None
    graph = ad.from_torch(made.function, *[x.detach() for x in made.inputs])
    moving = [v for v, x in zip(graph.variables, made.inputs, strict=True) if x.requires_grad]
    value = next(n for n in graph.outputs if n.type is None or n.type.is_differentiable)
    grads = ad.gradients(value, moving)
    second = ad.gradients(grads[0], moving)
    tangents = ad.pushforward(value, {v: ad.ones_like(v) for v in moving})
    wanted = [value, *grads, *second, *([] if tangents is None else [tangents])]
    found = ad.Evaluator(wanted).run(graph.feed(*[x.detach() for x in made.inputs]))
    assert not any(t.requires_grad for t in found)
