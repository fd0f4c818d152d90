"""How long it takes to import GPT-2 (12 layers, random weights), and to build its gradient.

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


class Loss(nn.Module):
    """The loss of a language model on its own input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the tokens."""
        return self.model(input_ids=ids, labels=ids, use_cache=False).loss


def main() -> None:
    """Import and differentiate a few times, and print the medians."""
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
    console = Console()
    for _ in range(options.repeat):
        start = time.perf_counter()
        graph = ad.from_torch(model, ids)
        imports.append(time.perf_counter() - start)
        start = time.perf_counter()
        grads = ad.gradients(graph.outputs, list(graph.parameters.values()))
        gradients.append(time.perf_counter() - start)
        nodes = len(ad.topological_sort(graph.outputs)), len(ad.topological_sort([graph.outputs, *grads]))
        console.print(
            f'import {imports[-1]:.2f} s, differentiate {gradients[-1]:.2f} s, {nodes[0]} nodes, '
            f'{nodes[1]} with the gradient',
            highlight=False,
        )
    medians = statistics.median(imports), statistics.median(gradients)
    console.print(f'median: import {medians[0]:.2f} s, differentiate {medians[1]:.2f} s', highlight=False)


if __name__ == '__main__':
    main()
