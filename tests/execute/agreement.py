"""Comparing an executor with the reference: bit by bit, run after run, with poisoned memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

import adjoint as ad
from adjoint.execute.blocks import Blocking
from adjoint.execute.plan import Plan
from adjoint.passes.pipeline import Level

POISONED = Plan(poison=True, at_first_sight=True, keep_from=0)
# Every chain of elementwise steps in blocks as small as they can be.
IN_BLOCKS = replace(POISONED, blocking=Blocking(least=1, block=32))


def bits(value: torch.Tensor) -> torch.Tensor:
    """The bits of a tensor, with one pattern for every nan."""
    # Copied, since a tensor of one entry is contiguous whatever its strides say.
    value = value.resolve_conj().resolve_neg()
    value = torch.empty_like(value, memory_format=torch.contiguous_format).copy_(value)
    if value.is_complex():
        value = torch.view_as_real(value)
    if value.is_floating_point():
        value = torch.where(value.isnan(), torch.full_like(value, torch.nan), value)
    return value.reshape(-1).view(torch.uint8) if value.numel() else value.reshape(-1)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are the same in dtype, shape and every bit."""
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def assert_agrees(
    nodes: Sequence[ad.Node],
    values: Mapping[ad.Node, torch.Tensor],
    executor: Plan = POISONED,
    level: Level = 'none',
) -> ad.Evaluator:
    """Fail unless the executor gives what the reference gives, again and again, and leaves all else alone."""
    before = {node: value.clone() for node, value in values.items()}
    wanted = ad.Evaluator(nodes, executor='reference').run(values)
    evaluator = ad.Evaluator(nodes, executor=executor, optimize=level)
    runs = [evaluator.run(values) for _ in range(3)]
    for results in runs:
        for node, result, reference in zip(nodes, results, wanted, strict=True):
            assert same(result, reference), (
                f'{node}: {result} instead of {reference}\n{evaluator.program(values)}'
            )
    for node, value in values.items():
        assert same(value, before[node]), f'the value given for {node} was changed'
    return evaluator
