"""Imported programs against torch: value, first and second order."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

import adjoint as ad
from adjoint.autodiff.reverse import cotangents

__all__ = ['agrees_with_torch', 'close']

_TOLERANCE = 1e-12


def close(got: torch.Tensor, wanted: torch.Tensor, tolerance: float = _TOLERANCE) -> None:
    """Assert that two tensors agree, relative to the largest entry."""
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    scale = max(1.0, float(wanted.abs().max()) if wanted.numel() else 1.0)
    torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance * scale)


def agrees_with_torch(function: Callable[..., Any], *inputs: torch.Tensor) -> None:
    """Assert that an imported function has torch's value, gradients, and gradients of gradients.

    Parameters
    ----------
    function
        Of tensors to one tensor.
    *inputs
        Those of a floating or complex dtype are differentiated by.
    """
    own = [x.clone().requires_grad_(x.is_floating_point() or x.is_complex()) for x in inputs]
    value = function(*own)
    moving = [x for x in own if x.requires_grad]
    ct = _drawn(value, 0)
    grads = torch.autograd.grad(value, moving, ct, create_graph=True, allow_unused=True)
    seeds = [None if g is None else _drawn(g, i + 1) for i, g in enumerate(grads)]  # pyright: ignore[reportUnnecessaryComparison] with allow_unused
    again = _second(grads, seeds, moving)

    graph = ad.from_torch(function, *own)
    variables = [v for v, x in zip(graph.variables, own, strict=True) if x.requires_grad]
    ct_node = ad.Variable('ct', tuple(ct.shape), ct.dtype)
    ours = cotangents({graph.outputs: ct_node}, variables)
    seed_nodes = [ad.Variable('v') for _ in ours]
    pairs = [
        (g, v) for g, v, s in zip(ours, seed_nodes, seeds, strict=True) if g is not None and s is not None
    ]
    second = cotangents(dict(pairs), variables) if pairs else [None] * len(variables)
    feed = {**graph.feed(*inputs), ct_node: ct}
    feed |= {v: s for v, s in zip(seed_nodes, seeds, strict=True) if s is not None}
    close(_run(graph.outputs, feed, value), value.detach())
    for got, wanted, x in zip([*ours, *second], [*grads, *again], [*moving, *moving], strict=True):
        close(_run(got, feed, x), torch.zeros_like(x) if wanted is None else wanted.detach())


def _second(
    grads: Sequence[torch.Tensor | None], seeds: Sequence[torch.Tensor | None], moving: Sequence[torch.Tensor]
) -> Sequence[torch.Tensor | None]:
    pairs = [
        (g, s)
        for g, s in zip(grads, seeds, strict=True)
        if g is not None and s is not None and g.requires_grad
    ]
    if not pairs:
        return [None] * len(moving)
    return torch.autograd.grad([g for g, _ in pairs], moving, [s for _, s in pairs], allow_unused=True)


def _run(node: ad.Node | None, feed: dict[ad.Node, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like) if node is None else ad.Evaluator([node]).run(feed)[0]


def _drawn(like: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.randn(like.shape, dtype=like.dtype, generator=torch.Generator().manual_seed(seed))
