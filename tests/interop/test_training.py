"""Ordinary modules, imported and trained for 50 steps with our gradients, follow torch's loss curve."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adjoint as ad

STEPS = 50


class Block(nn.Module):
    """Two convolutions around which the input goes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        around = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.around = nn.Identity() if stride == 1 and inside == outside else around

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        y += self.around(x)
        return F.relu(y)


class ResNet(nn.Module):
    """A residual network for small images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        features = self.pool(self.blocks(self.stem(x)))
        return F.cross_entropy(self.head(torch.flatten(features, 1)), labels)


class Layer(nn.Module):
    """Causal attention and a feed-forward part, each after a normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.after = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.project(self.before(x)).chunk(3, dim=-1)
        q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.after(x)), approximate='tanh'))


class GPT(nn.Module):
    """A language model in the style of GPT-2, with the weights of embedding and head tied."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 16)
        self.places = nn.Embedding(8, 16)
        self.layers = nn.ModuleList([Layer(16, 2), Layer(16, 2)])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for layer in self.layers:
            x = layer(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, 20), labels.view(-1))


class Recurrent(nn.Module):
    """Two layers of LSTM and a regression from the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(x)
        return F.mse_loss(self.head(states[:, -1]), wanted)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.randint(0, 5, (6,))


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 20, (3, 8))
    return ids, ids.roll(-1, 1)


def series() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(5, 6, 4, dtype=torch.float64), torch.randn(5, 1, dtype=torch.float64)


MODELS: list[tuple[type[nn.Module], Callable[[], tuple[torch.Tensor, torch.Tensor]]]] = [
    (ResNet, images),
    (GPT, tokens),
    (Recurrent, series),
]


def _descend(parameters: dict[str, torch.Tensor], grads: dict[str, torch.Tensor], step: int) -> None:
    rate = 0.1 * (1 + math.cos(math.pi * step / STEPS)) / 2
    with torch.no_grad():
        for name, value in parameters.items():
            value.sub_(rate * grads[name])


@pytest.mark.parametrize(('kind', 'data'), MODELS, ids=[m.__name__ for m, _ in MODELS])
def test_fifty_steps_follow_the_loss_curve_of_torch(
    kind: type[nn.Module], data: Callable[[], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    torch.manual_seed(0)
    model, twin = kind().double(), kind().double()
    twin.load_state_dict(model.state_dict())
    batch = data()

    graph = ad.from_torch(model, *batch)
    names = list(graph.parameters)
    grads = ad.gradients(graph.outputs, [graph.parameters[n] for n in names])
    program = ad.Evaluator([graph.outputs, *grads, *graph.updates.values()])
    ours: list[float] = []
    for step in range(STEPS):
        loss, *found = program.run(graph.feed(*batch))
        for name, value in zip(graph.updates, found[len(names) :], strict=True):
            graph.values[name].copy_(value)
        _descend({n: graph.values[n] for n in names}, dict(zip(names, found, strict=False)), step)
        ours.append(float(loss))

    theirs: list[float] = []
    own = dict(twin.named_parameters())
    for step in range(STEPS):
        loss = twin(*batch)
        twin.zero_grad()
        loss.backward()
        _descend(own, {n: p.grad for n, p in own.items() if p.grad is not None}, step)
        theirs.append(loss.item())

    assert theirs[-1] < 0.97 * theirs[0]
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-6
    for name, buffer in twin.named_buffers():
        torch.testing.assert_close(graph.values[name], buffer, rtol=1e-9, atol=1e-9)
