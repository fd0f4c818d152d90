"""Count the nodes of derivatives before and after the passes: ``python benchmarks/passes.py``.

Each graph is specialised to the types of its inputs, optimised as for a run, and compared with the reference.
A node that computes is no variable, no constant and no view.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F  # noqa: N812 torch's usual name

import adjoint as ad
from adjoint.core.tensor_type import TensorType
from adjoint.passes.pipeline import optimized
from adjoint.passes.specialize import specialized

F64 = torch.float64

NO_WORK = {
    'placeholder', 'constant', 'transpose', 'permute', 'reshape', 'reshape_like', 'flatten', 'squeeze',
    'unsqueeze', 'broadcast_to', 'expand_as', 'expand_like', 'unsum', 'alias', 'detach', 'item',
}  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """Outputs with values for their variables."""

    name: str
    nodes: Sequence[ad.Node]
    feed: dict[ad.Node, torch.Tensor]


def mlp() -> Workload:
    """Loss and gradients of an MLP on variables without types."""
    sizes = [(784, 512), (512,), (512, 512), (512,), (512, 10), (10,)]
    x, target = ad.Variable('x'), ad.Variable('target')
    parameters = [ad.Variable(f'p{i}') for i in range(len(sizes))]
    h = x
    for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        h = ad.relu(h @ w + b)
    logits = h @ parameters[-2] + parameters[-1]
    loss = -ad.mean(ad.sum(ad.log(ad.softmax(logits)) * target, -1), 0)
    values = [torch.randn(s, dtype=F64) * 0.05 for s in sizes]
    one_hot = F.one_hot(torch.arange(32) % 10, 10).to(F64)
    feed = {x: torch.rand(32, 784, dtype=F64), target: one_hot, **dict(zip(parameters, values, strict=True))}
    return Workload('MLP, untyped', [loss, *ad.gradients(loss, parameters)], feed)


def imported(name: str, module: nn.Module, *examples: torch.Tensor) -> Workload:
    """The gradient of the sum of squares of a module by all its parameters."""
    graph = ad.from_torch(module, *examples)
    loss = ad.mean(ad.square(graph.outputs))
    return Workload(name, [loss, *ad.gradients(loss, list(graph.parameters.values()))], graph.feed(*examples))


class Block(nn.Module):
    """A block of GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention, then two layers, each added to its input."""
        b, t, d = x.shape
        q, k, v = (
            part.view(b, t, self.heads, d // self.heads).transpose(1, 2)
            for part in self.qkv(self.before(x)).split(d, 2)
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.after(x)), approximate='tanh'))


class Tiny(nn.Module):
    """GPT-2 with two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(97, 32), nn.Embedding(16, 32)
        self.blocks = nn.ModuleList(Block(32, 4) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 97, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The scores of the next token."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def logistic() -> Workload:
    """The Hessian of a logistic regression."""
    rows, labels = torch.randn(50, 8, dtype=F64), torch.randint(2, (50,)).to(F64)

    def loss(w: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        scores = x @ w
        return (torch.log(1 + torch.exp(scores)) - y * scores).mean()

    values = torch.randn(8, dtype=F64), rows, labels
    graph = ad.hessian(loss).graph(*values)
    return Workload('Hessian of logistic regression', list(graph.nodes()), graph.feed(*values))


def computing(nodes: Sequence[ad.Node]) -> int:
    """How many nodes compute something: no variable, no constant, no view."""
    return sum(n.op.name not in NO_WORK for n in ad.topological_sort(nodes))


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    table = Table('graph', 'nodes', 'after', 'computing', 'after', 'seconds', 'largest difference')
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True).to(F64)
    for work in (
        mlp(),
        imported('transformer layer', layer, torch.randn(2, 5, 32, dtype=F64)),
        imported('GPT-2, two blocks', Tiny().to(F64), torch.randint(97, (2, 16))),
        logistic(),
    ):
        start = time.perf_counter()
        known = specialized(work.nodes, {v: TensorType.of(value) for v, value in work.feed.items()})
        done = optimized(known.nodes, final=True)
        took = time.perf_counter() - start
        want = ad.Evaluator(work.nodes).run(work.feed)
        got = ad.Evaluator(done.nodes).run({n: work.feed[v] for v, n in known.variables.items()})
        apart = max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(want, got, strict=True))
        counts = [len(ad.topological_sort(nodes)) for nodes in (work.nodes, done.nodes)]
        kernels = [computing(nodes) for nodes in (work.nodes, done.nodes)]
        table.add_row(work.name, *map(str, (*counts, *kernels)), f'{took:.2f}', f'{apart:.0e}')
    Console().print(table)


if __name__ == '__main__':
    main()
