"""Modules of torch inside functions: `torch.func.functional_call` with nodes for parameters."""

from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import _named_member_accessor  # pyright: ignore[reportPrivateUsage] what has to stay as it was

import adjoint as ad


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(3, 4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, (last, _) = self.layers(x)
        return self.head(states[:, -1]) + last.sum()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(3, 3)
        self.out = nn.Linear(3, 3)
        self.out.weight = self.into.weight
        self.register_buffer('scale', torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.into(x))) * self.scale


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


MODELS: Mapping[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    'mlp': (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4)), drawn(5, 3)),
    'convnet': (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3).eval(), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(12, 2),
        ),
        drawn(5, 2, 4, 4),
    ),
    'LSTM': (Recurrent, drawn(5, 6, 3)),
    'attention': (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), drawn(3, 5, 8)
    ),
    'embedding': (
        lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 2)),
        torch.tensor([[0, 3, 3], [6, 1, 0]]),
    ),
    'tied': (Tied, drawn(5, 3)),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, dict[str, torch.Tensor], torch.Tensor]:
    make, x = MODELS[name]
    model = make().double()
    return model, {n: p.detach() for n, p in model.named_parameters()}, x


def loss_of(model: nn.Module) -> Callable[[Any, Any], Any]:
    def loss(p: Any, x: Any) -> Any:
        return torch.square(functional_call(model, p, (x,))).sum()

    return loss


def by_autograd(model: nn.Module, p: Mapping[str, torch.Tensor], x: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.enable_grad():
        leaves = {n: v.clone().requires_grad_() for n, v in p.items()}
        value = torch.square(functional_call(model, leaves, (x,))).sum()
        return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))


@pytest.mark.parametrize('name', MODELS)
def test_the_gradient_by_parameters_is_that_of_autograd(name: str) -> None:
    model, p, x = made(name)
    torch.testing.assert_close(
        ad.grad(loss_of(model))(p, x), by_autograd(model, p, x), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize('name', MODELS)
def test_a_gradient_for_each_example(name: str) -> None:
    model, p, x = made(name)
    loss = loss_of(model)
    found = ad.vmap(ad.grad(lambda p, x: loss(p, x[None])), (None, 0))(p, x)
    one_by_one = [by_autograd(model, p, example[None]) for example in x]
    wanted = {n: torch.stack([g[n] for g in one_by_one]) for n in p}
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize('name', ['mlp', 'convnet', 'LSTM'])
def test_an_ensemble_by_stacked_states(name: str) -> None:
    models = [made(name)[0] for _ in range(3)]
    x = MODELS[name][1]
    stacked, buffers = torch.func.stack_module_state(models)
    parameters = {n: p.detach() for n, p in stacked.items()}

    def value(p: Any, b: Any, x: Any) -> Any:
        return functional_call(models[0], (p, b), (x,))

    with torch.no_grad():
        wanted = torch.stack([model(x) for model in models])
    found = ad.vmap(value, (0, 0, None))(parameters, buffers, x)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-12)
    slopes = ad.grad(lambda p: torch.square(ad.vmap(value, (0, 0, None))(p, buffers, x)).sum())(parameters)
    each = [by_autograd(m, {n: q[i] for n, q in parameters.items()}, x) for i, m in enumerate(models)]
    torch.testing.assert_close(
        slopes, {n: torch.stack([g[n] for g in each]) for n in parameters}, rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize('name', ['mlp', 'convnet', 'LSTM'])
def test_the_hessian_times_a_vector(name: str) -> None:
    model, p, x = made(name)
    along = {n: torch.full_like(v, 0.5) for n, v in p.items()}
    found, _ = ad.hvp(loss_of(model), (p, x), (along, None))
    with torch.enable_grad():
        leaves = {n: v.clone().requires_grad_() for n, v in p.items()}
        value = torch.square(functional_call(model, leaves, (x,))).sum()
        first = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
        product = sum((g * along[n]).sum() for n, g in zip(leaves, first, strict=True))
        wanted = torch.autograd.grad(product, list(leaves.values()))
    torch.testing.assert_close(found, dict(zip(leaves, wanted, strict=True)), rtol=1e-10, atol=1e-10)


def test_buffers_and_attributes_that_are_nodes() -> None:
    model, p, x = made('tied')
    scale = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    found = ad.grad(lambda s: functional_call(model, (p, {'scale': s}), (x,)).sum())(scale)
    with torch.no_grad():
        wanted = functional_call(model, (p, {'scale': torch.ones_like(scale)}), (x,)).sum(0)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_inside_of_a_loop() -> None:
    model = nn.Linear(3, 3).double()
    p = {n: v.detach() for n, v in model.named_parameters()}
    x = drawn(3)

    def iterated(p: Any) -> Any:
        return ad.fori_loop(0, 3, lambda _, h: torch.tanh(functional_call(model, p, (h,))), x).sum()

    def unrolled(p: Any) -> Any:
        h = x
        for _ in range(3):
            h = torch.tanh(functional_call(model, p, (h,)))
        return h.sum()

    torch.testing.assert_close(ad.grad(iterated)(p), torch.func.grad(unrolled)(p), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('name', MODELS)
def test_module_and_torch_are_left_as_they_were(name: str) -> None:
    model, p, x = made(name)
    swap = _named_member_accessor.swap_tensor
    before = dict(model.named_parameters())
    with torch.no_grad():
        value = model(x)
    ad.grad(loss_of(model))(p, x)
    with pytest.raises(ZeroDivisionError):
        ad.grad(lambda p: functional_call(model, p, (x,)).sum() / (1 // 0))(p)
    assert _named_member_accessor.swap_tensor is swap
    assert all(q is before[n] for n, q in model.named_parameters())
    for part in model.modules():
        assert not any(isinstance(w, ad.Node) for w in getattr(part, '_flat_weights', ()))
    with torch.no_grad():
        assert torch.equal(model(x), value)


def test_from_several_threads() -> None:
    found: list[dict[str, torch.Tensor]] = []

    def work() -> None:
        model = nn.Linear(3, 1, bias=False).double()
        for _ in range(20):
            p = {'weight': model.weight.detach()}
            found.append(ad.grad(lambda p, model=model: functional_call(model, p, (drawn(2, 3),)).sum())(p))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    for each in found:
        torch.testing.assert_close(each['weight'], drawn(2, 3).sum(0, keepdim=True))


def test_what_is_neither_tensor_nor_node_is_refused_as_torch_does() -> None:
    model = nn.Linear(3, 1)
    with pytest.raises(TypeError, match='is not an instance of'):
        ad.grad(lambda x: functional_call(model, {'weight': 3}, (x,)).sum())(torch.ones(3))


def test_running_statistics_say_how_to_be_left_out() -> None:
    model = nn.BatchNorm1d(3)
    with pytest.raises(ad.UnsupportedOpError, match=r"'batch_norm' .* writes to its operands.*eval\(\)"):
        ad.grad(lambda x: model(x).sum())(torch.ones(2, 3))
