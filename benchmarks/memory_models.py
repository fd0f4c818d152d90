"""The models of the memory benchmark: a deep perceptron, a convnet, a small GPT, and a long loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import adjoint as ad

__all__ = ['MODELS', 'Made']


@dataclass(frozen=True)
class Made:
    """A loss with its gradients, as nodes with values, and the same in eager PyTorch."""

    nodes: list[ad.Node]
    values: dict[ad.Node, torch.Tensor]
    eager: Callable[[], list[torch.Tensor]]


class Perceptron(nn.Module):
    """Forty layers of 256 with relu, a batch of 1024."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(256, 256) for _ in range(40))

    def forward(self, x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        for layer in self.layers:
            x = torch.relu(layer(x))
        return ((x - wanted) ** 2).mean()


class Convnet(nn.Module):
    """Eight convolutions with batch norms on images of 32 by 32, a batch of 32."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 32, 32, 64, 64, 64, 128, 128, 128]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in widths[1:])
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = torch.relu(norm(convolution(x)))
            if i in {1, 4}:
                x = F.max_pool2d(x, 2)
        return F.cross_entropy(self.head(x.mean((2, 3))), labels)


class Block(nn.Module):
    """A block of a transformer: attention by its formula, which keeps its weights, and a perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the next state."""
        batch, length, width = x.shape
        parts = self.qkv(self.before(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        weights = scores.masked_fill(~seen, float('-inf')).softmax(-1)
        x = x + self.mix((weights @ value).transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(F.gelu(self.wide(self.between(x))))


class Gpt(nn.Module):
    """Like GPT-2: 4 layers, width 256, 4 heads, 128 tokens, a batch of 4, 1000 words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(1000, 256), nn.Embedding(128, 256)
        self.blocks = nn.ModuleList(Block(256, 4) for _ in range(4))
        self.last, self.head = nn.LayerNorm(256), nn.Linear(256, 1000, bias=False)

    def forward(self, tokens: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.last(x)).flatten(0, 1), following.flatten())


def imported(module: nn.Module, *args: torch.Tensor) -> Made:
    """Return a module whose value is a loss."""
    graph = ad.from_torch(module, *args)
    nodes = [graph.outputs, *ad.gradients(graph.outputs, list(graph.parameters.values()))]

    def eager() -> list[torch.Tensor]:
        loss = module(*args)
        return [loss.detach(), *torch.autograd.grad(loss, list(module.parameters()))]

    return Made(nodes, graph.feed(*args), eager)


def perceptron() -> Made:
    return imported(Perceptron(), torch.randn(1024, 256), torch.randn(1024, 256))


def convnet() -> Made:
    return imported(Convnet(), torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,)))


def gpt() -> Made:
    return imported(Gpt(), torch.randint(0, 1000, (4, 128)), torch.randint(0, 1000, (4, 128)))


def loop() -> Made:
    """A recurrent network of 128 over 1000 steps, a batch of 32."""
    parameters = [torch.randn(128, 128) / 16, torch.randn(64, 128) / 8, torch.zeros(128)]
    first, inputs = torch.zeros(32, 128), torch.randn(1000, 32, 64)

    def step(state: Any, x: Any, weights: Sequence[Any]) -> Any:
        recurrent, entry, bias = weights
        return torch.tanh(state @ recurrent + x @ entry + bias)

    variables = [
        ad.Variable(name, tuple(p.shape), p.dtype) for name, p in zip('rwb', parameters, strict=True)
    ]
    start, xs = (ad.Variable(name, tuple(x.shape), x.dtype) for name, x in (('h', first), ('xs', inputs)))
    last, _ = ad.scan(lambda h, x: (step(h, x, variables), None), start, xs)
    loss = ad.mean(last * last)

    def eager() -> list[torch.Tensor]:
        moving = [p.detach().requires_grad_() for p in parameters]
        h = first
        for x in inputs:
            h = step(h, x, moving)
        value = (h * h).mean()
        return [value.detach(), *torch.autograd.grad(value, moving)]

    values = dict(zip([*variables, start, xs], [*parameters, first, inputs], strict=True))
    return Made([loss, *ad.gradients(loss, variables)], values, eager)


MODELS: dict[str, Callable[[], Made]] = {
    'perceptron, 40 layers': perceptron,
    'convnet, 8 layers': convnet,
    'GPT, 4 layers': gpt,
    'loop, 1000 steps': loop,
}
