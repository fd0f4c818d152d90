"""Cases of random values: nothing flows through them, and one seed draws one value."""

from collections.abc import Callable
from typing import Any

import torch

from adjoint.ops import random as ops
from adjoint.verify.samples import sample
from tests.ops.case import Case, Convention, spread, t

X, P = spread(2, 3), spread(2, 3, low=0.2, high=0.8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(fill: Callable[..., torch.Tensor], *defaults: Any) -> Callable[..., torch.Tensor]:
    """What torch fills a tensor with."""

    def draw(like: Any, *parameters: Any, dtype: torch.dtype | None = None, seed: int = 0) -> torch.Tensor:
        given = (*parameters, *defaults[len(parameters) :])
        blank = torch.empty(like.shape, dtype=dtype or like.dtype)
        return fill(blank, *given, generator=seeded(seed))

    return draw


def nothing(x: torch.Tensor, *rest: Any, **attrs: Any) -> Convention:
    """Nothing flows to the operand."""
    return sample(x, *rest, smooth=False, **attrs), (torch.zeros_like(x),)


def drawn(op: Any, fill: Callable[..., torch.Tensor], *parameters: Any) -> Case:
    # A draw is no function of its operand's numbers, so differences by it are zero, as the derivative is.
    samples = [sample(X), sample(X.mT, *parameters, seed=3), sample(spread(0, 2), seed=1)]
    return Case(op, samples, filled(fill, *op.defaults), conventions=[nothing(X, seed=2)])


def _integers(blank: torch.Tensor, low: int, high: int | None, generator: torch.Generator) -> torch.Tensor:
    if high is None:
        return blank.random_(generator=generator)
    return blank.random_(low, high, generator=generator)


def _mask(like: torch.Tensor, p: float = 0.5, by_feature: bool = False, seed: int = 0) -> torch.Tensor:
    shape = [n if k < 2 or not by_feature else 1 for k, n in enumerate(like.shape)]
    kept = torch.empty(shape).bernoulli_(1 - p, generator=seeded(seed)).to(like.dtype)
    return kept / (1 - p) if p < 1 else kept


CASES: dict[str, Case] = {
    'drawn_uniform': drawn(ops.drawn_uniform, torch.Tensor.uniform_, -1.0, 2.0),
    'drawn_normal': drawn(ops.drawn_normal, torch.Tensor.normal_, -1.0, 2.0),
    'drawn_log_normal': drawn(ops.drawn_log_normal, torch.Tensor.log_normal_, -1.0, 2.0),
    'drawn_exponential': drawn(ops.drawn_exponential, torch.Tensor.exponential_, 2.0),
    'drawn_cauchy': drawn(ops.drawn_cauchy, torch.Tensor.cauchy_, -1.0, 2.0),
    'drawn_geometric': drawn(ops.drawn_geometric, torch.Tensor.geometric_, 0.3),
    'drawn_integers': drawn(ops.drawn_integers, _integers, 2, 9),
    'rrelu_noise': Case(
        ops.rrelu_noise,
        [],
        conventions=[nothing(X, seed=2), nothing(t([1.0, 0.0]), 0.1, 0.2)],
    ),
    'dropout_mask': Case(
        ops.dropout_mask,
        [sample(X), sample(spread(2, 3, 2), 0.3, by_feature=True, seed=5), sample(X.mT, 1.0), sample(X, 0.0)],
        _mask,
        conventions=[nothing(X)],
    ),
    'drawn_bernoulli': Case(
        ops.drawn_bernoulli,
        [sample(P, 2, smooth=False)],
        lambda p, seed: torch.bernoulli(p, generator=seeded(seed)),
        conventions=[nothing(P), nothing(P, 3)],
    ),
    'drawn_poisson': Case(
        ops.drawn_poisson,
        [sample(P, 2, smooth=False)],
        lambda p, seed: torch.poisson(p, generator=seeded(seed)),
        conventions=[nothing(P), nothing(P, 3)],
    ),
    'drawn_binomial': Case(
        ops.drawn_binomial,
        [],
        conventions=[(sample(t([3.0, 4.0]), t([0.5, 0.25]), smooth=False), (t([0.0, 0.0]), t([0.0, 0.0])))],
    ),
    'drawn_multinomial': Case(
        ops.drawn_multinomial,
        [sample(P, 2, smooth=False), sample(P, 5, replacement=True, seed=1, smooth=False)],
        lambda p, n, replacement=False, seed=0: torch.multinomial(p, n, replacement, generator=seeded(seed)),
    ),
    'drawn_permutation': Case(
        lambda x, *given, **attrs: x * 0 + ops.drawn_permutation(*given, **attrs),
        [sample(X, 3, seed=2)],
        lambda x, n, seed: x * 0 + torch.randperm(n, generator=seeded(seed)),
    ),
}
