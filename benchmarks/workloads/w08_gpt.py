"""W8: a model like GPT-2; loss, gradients, AdamW. 4 layers, width 256, 4 heads, 128 tokens, batch 4.

For a GPU, GPT-2 itself in bfloat16: 12 layers, width 768, 12 heads, 1024 tokens, batch 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from benchmarks.workloads.workload import Workload, randn

__all__ = ['LARGE', 'SMALL', 'WORKLOAD', 'Gpt']

RATE, FIRST, SECOND, EPS, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01


@dataclass(frozen=True)
class Gpt:
    """A size of the model.

    Parameters
    ----------
    layers, width, heads : int
        Of the model.
    length, batch : int
        Tokens of a text, and texts.
    words : int
        How many different tokens there are.
    dtype : torch.dtype
        Of all that is computed.
    """

    layers: int
    width: int
    heads: int
    length: int
    batch: int
    words: int
    dtype: torch.dtype = torch.float32

    @property
    def layer(self) -> list[tuple[int, ...]]:
        """Shapes of a layer: a norm and the products of attention, a norm and those of the perceptron."""
        n = self.width
        return [
            (n,), (n,), (n, 3 * n), (3 * n,), (n, n), (n,),
            (n,), (n,), (n, 4 * n), (4 * n,), (4 * n, n), (n,),
        ]  # fmt: skip

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all parameters."""
        n = self.width
        return [(self.words, n), (self.length, n), *self.layer * self.layers, (n,), (n,)]

    @property
    def count(self) -> int:
        """How many parameters there are."""
        return len(self.shapes)

    def make(self) -> list[torch.Tensor]:
        """Return parameters, their two moments, tokens, and those that follow them."""
        parameters = [randn(*shape, seed=i, scale=0.05).to(self.dtype) for i, shape in enumerate(self.shapes)]
        moments = [torch.zeros_like(p) for p in parameters]
        tokens = torch.arange(self.batch * (self.length + 1)).reshape(self.batch, -1) * 31 % self.words
        ones = [torch.ones_like(m) for m in moments]
        return [*parameters, *moments, *ones, tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()]

    def block(self, x: Any, layer: Sequence[Any]) -> Any:
        """Return the next state."""
        (scale, shift, qkv, qkv_bias, mix, mix_bias, scale2, shift2, wide, wide_bias, narrow, narrow_bias) = (
            layer
        )
        n, whole = self.width, (self.batch, self.length, self.width)
        h = torch.matmul(F.layer_norm(x, (n,), scale, shift), qkv) + qkv_bias
        heads = torch.reshape(h, (self.batch, self.length, 3, self.heads, n // self.heads))
        heads = torch.permute(heads, (2, 0, 3, 1, 4))
        seen = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        x = x + torch.matmul(torch.reshape(torch.transpose(seen, 1, 2), whole), mix) + mix_bias
        h = torch.matmul(F.layer_norm(x, (n,), scale2, shift2), wide) + wide_bias
        return x + torch.matmul(F.gelu(h, approximate='tanh'), narrow) + narrow_bias

    def loss(self, *given: Any) -> Any:
        """Return the cross entropy of the next tokens."""
        words, places, *rest = given[: self.count]
        tokens, following = given[-2:]
        x, size = F.embedding(tokens, words) + places, len(self.layer)
        for i in range(self.layers):
            x = self.block(x, rest[i * size : (i + 1) * size])
        normed = F.layer_norm(x, (self.width,), rest[-2], rest[-1])
        logits = torch.matmul(normed, torch.transpose(words, 0, 1))
        return F.cross_entropy(torch.reshape(logits, (-1, self.words)), torch.reshape(following, (-1,)))

    def adamw(self, given: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
        """Return the next parameters and moments."""
        moved: list[Any] = []
        for i, g in enumerate(grads):
            m = FIRST * given[self.count + i] + (1 - FIRST) * g
            v = SECOND * given[2 * self.count + i] + (1 - SECOND) * (g * g)
            moved += [given[i] * (1 - RATE * DECAY) - RATE * m / (v**0.5 + EPS), m, v]
        return moved

    def workload(self, name: str, title: str, tolerance: float = 1e-4) -> Workload:
        """Return the row of the table."""
        return Workload(name, title, self.make, self.loss, self.count, self.adamw, tolerance=tolerance)


SMALL = Gpt(layers=4, width=256, heads=4, length=128, batch=4, words=1000)
WORKLOAD = SMALL.workload('W8', 'GPT-2-like, 4 layers, AdamW')
LARGE = Gpt(layers=12, width=768, heads=12, length=1024, batch=8, words=50257, dtype=torch.bfloat16).workload(
    'W8L', 'GPT-2, 8 x 1024 tokens, bfloat16, AdamW', tolerance=0.05
)
