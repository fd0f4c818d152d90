"""W8: a model like GPT-2: 4 layers, width 256, 4 heads, 128 tokens, batch 4; loss, gradients, AdamW."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from benchmarks.workloads.workload import Workload, randn

LAYERS, WIDTH, HEADS, LENGTH, BATCH, WORDS = 4, 256, 4, 128, 4, 1000
RATE, FIRST, SECOND, EPS, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01
# Of a layer: a norm and the products of attention, a norm and those of the perceptron.
LAYER = [
    (WIDTH,), (WIDTH,), (WIDTH, 3 * WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,),
    (WIDTH,), (WIDTH,), (WIDTH, 4 * WIDTH), (4 * WIDTH,), (4 * WIDTH, WIDTH), (WIDTH,),
]  # fmt: skip
SHAPES = [(WORDS, WIDTH), (LENGTH, WIDTH), *LAYER * LAYERS, (WIDTH,), (WIDTH,)]
COUNT = len(SHAPES)


def make() -> list[torch.Tensor]:
    parameters = [randn(*shape, seed=i, scale=0.05) for i, shape in enumerate(SHAPES)]
    moments = [torch.zeros_like(p) for p in parameters]
    tokens = torch.arange(BATCH * (LENGTH + 1)).reshape(BATCH, -1) * 31 % WORDS
    ones = [torch.ones_like(m) for m in moments]
    return [*parameters, *moments, *ones, tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()]


def block(x: Any, layer: Sequence[Any]) -> Any:
    scale, shift, qkv, qkv_bias, mix, mix_bias, scale2, shift2, wide, wide_bias, narrow, narrow_bias = layer
    h = torch.matmul(F.layer_norm(x, (WIDTH,), scale, shift), qkv) + qkv_bias
    heads = torch.permute(torch.reshape(h, (BATCH, LENGTH, 3, HEADS, WIDTH // HEADS)), (2, 0, 3, 1, 4))
    seen = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
    x = x + torch.matmul(torch.reshape(torch.transpose(seen, 1, 2), (BATCH, LENGTH, WIDTH)), mix) + mix_bias
    h = F.gelu(torch.matmul(F.layer_norm(x, (WIDTH,), scale2, shift2), wide) + wide_bias, approximate='tanh')
    return x + torch.matmul(h, narrow) + narrow_bias


def loss(*given: Any) -> Any:
    words, places, *rest = given[:COUNT]
    tokens, following = given[-2:]
    x = F.embedding(tokens, words) + places
    for i in range(LAYERS):
        x = block(x, rest[i * len(LAYER) : (i + 1) * len(LAYER)])
    logits = torch.matmul(F.layer_norm(x, (WIDTH,), rest[-2], rest[-1]), torch.transpose(words, 0, 1))
    return F.cross_entropy(torch.reshape(logits, (-1, WORDS)), torch.reshape(following, (-1,)))


def adamw(given: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
    moved: list[Any] = []
    for i, g in enumerate(grads):
        m = FIRST * given[COUNT + i] + (1 - FIRST) * g
        v = SECOND * given[2 * COUNT + i] + (1 - SECOND) * (g * g)
        moved += [given[i] * (1 - RATE * DECAY) - RATE * m / (v**0.5 + EPS), m, v]
    return moved


WORKLOAD = Workload('W8', 'GPT-2-like, 4 layers, AdamW', make, loss, COUNT, adamw)
