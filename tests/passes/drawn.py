"""Values to prove rewrites on: what the parameters of an example stand for, by their names."""

import ast
import itertools
from collections.abc import Iterator, Mapping

import torch

import adjoint as ad
from adjoint.core.node import Node
from adjoint.ops.custom import CustomGradient, undifferentiable
from adjoint.ops.reduction import reduction_attrs
from adjoint.ops.several import item
from adjoint.passes.rewrite import Rewrite

# By the name of a parameter: shape and dtype.
SHAPES = {
    'x': (3, 4), 'y': (3, 4), 'row': (4,), 'column': (3, 1), 's': (), 'A': (4, 4), 'B': (4, 4), 'c': (3, 2),
    'w': (4, 2), 'batch': (2, 3, 4), 'image': (2, 4, 3, 3), 'i': (3, 4), 'z': (3, 4), 'x32': (3, 4),
    'mask': (3, 4), 'p': (3, 4), 'wide': (512, 3, 4), 'heads': (2, 2, 3, 4), 'bias': (3, 3),
}  # fmt: skip
DTYPES = {'i': torch.int64, 'z': torch.complex128, 'x32': torch.float32, 'mask': torch.bool}

SPECIAL = [
    0.0, -0.0, 1.0, -1.0, float('inf'), float('-inf'), float('nan'), 1e300, -1e300, 1e-300, 1e-310, -1e-310,
    1e4, -1e4, -800.0, 800.0, 1e-20, -1e-20, 30.0, -30.0,
]  # fmt: skip


# What examples are written in.
OPS = {
    **ad.registry(), 'Node': Node, 'torch': torch, 'reduction_attrs': reduction_attrs,
    'custom': CustomGradient, 'undifferentiable': undifferentiable, 'item': item,
}  # fmt: skip


def variables_of(example: str) -> dict[str, Node]:
    """A variable for each that an example is made of, by name."""
    names = sorted({n.id for n in ast.walk(ast.parse(example)) if isinstance(n, ast.Name)} - OPS.keys())
    return {name: ad.Variable(name) for name in names}


def built(example: str, variables: Mapping[str, Node]) -> Node:
    """The node that an example is."""
    return eval(example, {**OPS, **variables})  # noqa: S307 our own examples


def drawn(name: str, generator: torch.Generator, special: float) -> torch.Tensor:
    """A value for a parameter: ordinary numbers, of which a share is special."""
    dtype, shape = DTYPES.get(name, torch.float64), SHAPES[name]
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if dtype == torch.int64:
        return torch.randint(-3, 4, shape, generator=generator)
    if dtype.is_complex:
        parts = [mixed(shape, generator, special) for _ in range(2)]
        return torch.complex(*parts)
    value = mixed(shape, generator, special)
    value = value.abs() if name == 'p' else value
    return value.to(dtype)


def rolled(name: str, offset: int) -> torch.Tensor:
    """A value for a parameter of nothing but special numbers, which start at one or another of them."""
    dtype, shape = DTYPES.get(name, torch.float64), SHAPES[name]
    count = torch.Size(shape).numel()
    numbers = [SPECIAL[(offset + 7 * i) % len(SPECIAL)] for i in range(count)]
    value = torch.tensor(numbers, dtype=torch.float64).reshape(shape)
    if dtype == torch.bool:
        return value > 0
    if dtype == torch.int64:
        return value.nan_to_num().clamp(-3, 3).to(dtype)
    return value.abs() if name == 'p' else value.to(dtype)


def mixed(shape: tuple[int, ...], generator: torch.Generator, special: float) -> torch.Tensor:
    """Ordinary numbers of all magnitudes, of which a share is special."""
    ordinary = torch.randn(shape, generator=generator, dtype=torch.float64)
    ordinary = ordinary * 10 ** torch.empty(shape, dtype=torch.float64).uniform_(-2, 2, generator=generator)
    choice = torch.randint(len(SPECIAL), shape, generator=generator)
    chosen = torch.tensor(SPECIAL, dtype=torch.float64)[choice]
    return torch.where(torch.rand(shape, generator=generator) < special, chosen, ordinary)


def examples_of(rewrites: list[Rewrite]) -> Iterator[tuple[Rewrite, str]]:
    """Each rewrite with each of its examples."""
    return itertools.chain.from_iterable(((r, example) for example in r.examples) for r in rewrites)


def named(pair: tuple[Rewrite, str]) -> str:
    """The name of a case."""
    rewrite, example = pair
    return f'{rewrite.name}-{rewrite.examples.index(example)}'


def bits_differ(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Where bits differ; two nans are one."""
    if a.is_complex():
        return bits_differ(torch.view_as_real(a), torch.view_as_real(b)).any(-1)
    return ~((a == b) & (a.signbit() == b.signbit()) | a.isnan() & b.isnan())
