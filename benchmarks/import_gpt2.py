"""How long it takes to import GPT-2 (12 layers, random weights), to build its gradient, and to plan both.

What a plan takes is its first run, which has types, rewrites and the program, less what a later one takes.

The optional extra ``models`` has to be installed.
"""

import argparse
import importlib
import statistics
import time
from typing import Any

import torch
from rich.console import Console
from torch import nn

import adjoint as ad
from adjoint.execute.plan import Plan
from benchmarks.speed import seconds


class Loss(nn.Module):
    """The loss of a language model on its own input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the tokens."""
        return self.model(input_ids=ids, labels=ids, use_cache=False).loss


def main() -> None:
    """Import, differentiate and plan a few times, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--layers', type=int, default=12)
    parser.add_argument('--length', type=int, default=128, help='tokens')
    parser.add_argument('--attention', default='sdpa', choices=['sdpa', 'eager'])
    parser.add_argument('--repeat', type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    transformers: Any = importlib.import_module('transformers')  # of an optional extra
    config = transformers.GPT2Config(n_layer=options.layers)
    config._attn_implementation = options.attention  # noqa: SLF001 its own way
    model = Loss(transformers.GPT2LMHeadModel(config)).eval()
    ids = torch.randint(0, config.vocab_size, (1, options.length))
    imports: list[float] = []
    gradients: list[float] = []
    plans: list[float] = []
    console = Console()
    for _ in range(options.repeat):
        start = time.perf_counter()
        graph = ad.from_torch(model, ids)
        imports.append(time.perf_counter() - start)
        start = time.perf_counter()
        grads = ad.gradients(graph.outputs, list(graph.parameters.values()))
        gradients.append(time.perf_counter() - start)
        evaluator = ad.Evaluator([graph.outputs, *grads], Plan(at_first_sight=True))
        values = graph.feed(ids)
        first, *later = [seconds(lambda e=evaluator, v=values: e.run(v)) for _ in range(4)]
        plans.append(first - statistics.median(later))
        nodes = len(ad.topological_sort(graph.outputs)), len(ad.topological_sort([graph.outputs, *grads]))
        console.print(
            f'import {imports[-1]:.2f} s, differentiate {gradients[-1]:.2f} s, plan {plans[-1]:.2f} s, '
            f'a run {statistics.median(later):.2f} s, {nodes[0]} nodes, '
            f'{nodes[1]} with the gradient',
            highlight=False,
        )
    medians = [statistics.median(each) for each in (imports, gradients, plans)]
    console.print(
        f'median: import {medians[0]:.2f} s, differentiate {medians[1]:.2f} s, plan {medians[2]:.2f} s',
        highlight=False,
    )


if __name__ == '__main__':
    main()
