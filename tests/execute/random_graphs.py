"""Random graphs against the reference: shared nodes, views, writes over memory, odd outputs.

The tests run some hundreds; ``python -m tests.execute.random_graphs --count 10000`` runs more.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

import adjoint as ad
from adjoint.execute.plan import Plan
from adjoint.ops.several import items
from adjoint.passes.pipeline import Level
from tests.execute.agreement import POISONED, assert_agrees, same

Made: TypeAlias = Callable[[random.Random, 'list[ad.Node]'], ad.Node]

SIZES = (1, 2, 3, 4)
UNARY = (
    ad.sin, ad.tanh, ad.exp, ad.neg, ad.relu, ad.sigmoid, ad.abs, ad.square, ad.floor, ad.sgn, ad.cos,
)  # fmt: skip
BINARY = (ad.add, ad.sub, ad.mul, ad.maximum, ad.greater, ad.atan2, ad.gt, ad.div)


class Echo(ad.Op):
    """An op of a user that returns its operand itself."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return input_values[0]

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        return [output_grad]


class Window(ad.Op):
    """An op of a user that returns a view."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.flatten()[: max(a.numel() // 2, 1)]


class Keeper(ad.Op):
    """An op of a user that always returns the same tensor, and keeps what it is given."""

    shareable = False  # it is more than a function of its operand

    def __init__(self) -> None:
        self.own = torch.arange(4.0)
        self.given: torch.Tensor | None = None

    def infer(self, node: ad.Node, input_types: Sequence[ad.TensorType]) -> ad.TensorType:
        return ad.TensorType.of(self.own)

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        if self.given is not None and self.given.shape == input_values[0].shape:
            assert same(self.given, node.attrs['copy'][0]), 'what a user keeps was written over'
        self.given = input_values[0]
        node.attrs['copy'][:] = [self.given.clone()]
        return self.own


class Halves(ad.Op):
    """An op of a user with two outputs: views of its operand."""

    outputs = 2

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return a.flatten()[:1], a.flatten()[1:]


echo, window, halves = Echo(), Window(), Halves()


def sizes(x: ad.Node) -> tuple[int, ...]:
    """The sizes of a node, all of which are known here."""
    return x.shape


def fitting(rng: random.Random, nodes: Sequence[ad.Node], x: ad.Node) -> ad.Node:
    """A node that broadcasts with another."""
    found = [y for y in nodes if broadcasts(sizes(x), sizes(y))]
    return rng.choice(found)


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(s == t or 1 in {s, t} for s, t in zip(reversed(a), reversed(b), strict=False))


def real_of(rng: random.Random, nodes: Sequence[ad.Node]) -> ad.Node:
    return rng.choice([x for x in nodes if x.dtype.is_floating_point])


def unary(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    return rng.choice(UNARY)(real_of(rng, nodes))


def binary(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    reals = [x for x in nodes if x.dtype.is_floating_point]
    a = rng.choice(reals)
    b = fitting(rng, reals, a)
    return rng.choice(BINARY)(*rng.sample([a, b], 2))


def with_number(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x, c = real_of(rng, nodes), rng.choice([0.5, 2, -1.25, 3.0, 1, 0])
    forms: list[Callable[[], ad.Node]] = [
        lambda: x + c, lambda: c - x, lambda: x - c, lambda: x * c, lambda: c / x, lambda: x / (c or 4),
        lambda: x > c, lambda: c > x, lambda: ad.clamp(x, -1.0, float(abs(c))), lambda: ad.maximum(x, c),
        lambda: abs(x) ** c, lambda: ad.greater(x, c), lambda: 1 / x, lambda: ad.where(x, x, c),
    ]  # fmt: skip
    return rng.choice(forms)()


def view(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x = rng.choice(nodes)
    shape = sizes(x)
    forms: list[Callable[[], ad.Node]] = [
        lambda: ad.alias(x), lambda: ad.detach(x), lambda: ad.reshape(x, -1), lambda: ad.unsqueeze(x, 0),
        lambda: ad.broadcast_to(x, (2, *shape)), lambda: ad.reshape_like(x, x), lambda: ad.flatten(x),
        lambda: ad.squeeze(x), lambda: ad.conj(x), lambda: x[None], lambda: x[...], lambda: ad.real(x),
    ]  # fmt: skip
    if shape:
        axis = rng.randrange(len(shape))
        other = rng.randrange(len(shape))
        forms += [
            lambda: ad.transpose(x, axis, other), lambda: x[0], lambda: x[-1:], lambda: x[::2],
            lambda: ad.flip(x, axis), lambda: ad.permute(x, tuple(rng.sample(range(len(shape)), len(shape)))),
        ]  # fmt: skip
    return rng.choice(forms)()


def reduction(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x = real_of(rng, nodes)
    axes: list[Any] = [None, *range(len(sizes(x)))]
    form = rng.choice([ad.sum, ad.mean, ad.amax, ad.logsumexp, ad.var])
    return form(x, rng.choice(axes), keepdim=rng.random() < 0.5)


def product(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    found = [
        (a, b)
        for a in nodes
        for b in nodes
        if a.dtype == b.dtype and a.dtype.is_floating_point and a.ndim == b.ndim == 2
        and sizes(a)[1] == sizes(b)[0]
    ]  # fmt: skip
    if not found:
        x = real_of(rng, nodes)
        return x * x
    return ad.matmul(*rng.choice(found))


def choice(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x = real_of(rng, nodes)
    mask = fitting(rng, nodes, x)
    return ad.where(mask, x, -x if rng.random() < 0.5 else 0.0)


def joined(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x = rng.choice(nodes)
    if not sizes(x):
        x = ad.unsqueeze(x, 0)
    return ad.cat([x, rng.choice([x, x])], rng.randrange(x.ndim))


def cast(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x = rng.choice(nodes)
    if x.dtype.is_complex:
        return rng.choice([ad.real, ad.imag])(x)
    return ad.cast(x, rng.choice([torch.float32, torch.float64, torch.complex128]))


def of_a_user(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x = rng.choice(nodes)
    form = rng.randrange(4)
    if form == 0:
        return echo(x)
    if form == 1:
        return window(x)
    if form == 2:
        return Keeper()(x, copy=[])
    return items(halves(x))[rng.randrange(2)] if x.numel() > 1 else echo(x)


def like(rng: random.Random, nodes: list[ad.Node]) -> ad.Node:
    x, y = real_of(rng, nodes), rng.choice(nodes)
    forms = [ad.zeros_like, ad.ones_like]
    if broadcasts(sizes(x), sizes(y)) and rng.random() < 0.5:
        whole = ad.add(x, y)
        return ad.sum_to_like(whole, x) if rng.random() < 0.5 else ad.expand_like(x, whole)
    return rng.choice(forms)(y) + rng.choice([0.0, 1.0])


KINDS: tuple[Made, ...] = (
    unary, unary, unary, binary, binary, binary, with_number, with_number, view, view, reduction, product,
    choice, joined, cast, of_a_user, like,
)  # fmt: skip


def tensors(rng: random.Random, generator: torch.Generator) -> list[torch.Tensor]:
    """Values: of several dtypes, some of which are views of one another or lie in an odd order."""
    found: list[torch.Tensor] = []
    for _ in range(rng.randint(1, 4)):
        shape = [rng.choice(SIZES) for _ in range(rng.randint(0, 3))]
        dtype = rng.choice([torch.float64, torch.float64, torch.float32, torch.complex128])
        value = torch.randn(shape, generator=generator, dtype=dtype)
        found.append(value.mT if len(shape) > 1 and rng.random() < 0.3 else value)
    found.append(torch.randn(rng.choice(SIZES), 3, generator=generator, dtype=torch.float64))
    if rng.random() < 0.3:
        found.append(found[0].unsqueeze(0))
    if rng.random() < 0.2:
        found.append(found[-1].expand(2, *found[-1].shape))
    return found


def graph(seed: int) -> tuple[list[ad.Node], dict[ad.Node, torch.Tensor]]:
    """Nodes to compute and values for their variables, the same for the same seed."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    given = tensors(rng, generator)
    variables = [ad.Variable(f'x{i}', tuple(v.shape), v.dtype) for i, v in enumerate(given)]
    nodes = [*variables, ad.constant(torch.randn(3, generator=generator, dtype=torch.float64))]
    for _ in range(rng.randint(5, 40)):
        # Often of the last few only: chains, in which values die at once.
        seen = nodes if rng.random() < 0.4 else nodes[-3:] if rng.random() < 0.7 else nodes[-1:]
        try:
            node = rng.choice(KINDS)(rng, seen)
        except IndexError:
            continue  # none of them is real
        except ad.AdjointError:
            continue  # two dtypes that do not go together, or a shape that an op does not take
        if node.type is not None and node.type.is_static and node.numel() <= 512:
            nodes.append(node)
    outputs = [nodes[-1], *rng.choices(nodes, k=rng.randint(0, 3))]
    rng.shuffle(outputs)
    if rng.random() < 0.5:
        scalar = ad.sum(ad.real(rng.choice(nodes)) * 1.0)
        try:
            outputs += ad.gradients(scalar, [x for x in variables if x.dtype.is_floating_point])
        except ad.AdjointError:
            outputs.append(scalar)
    if rng.random() < 0.2:
        outputs.append(outputs[0])
    return outputs, dict(zip(variables, given, strict=True))


def check(seed: int, executor: Plan = POISONED, level: Level = 'none') -> None:
    """Fail unless the graph of a seed gives what the reference gives."""
    outputs, values = graph(seed)
    try:
        ad.Evaluator(outputs, executor='reference').run(values)
    except (RuntimeError, TypeError, ValueError):
        return
    assert_agrees(outputs, values, executor, level)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=5000)
    parser.add_argument('--first', type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(given.first, given.first + given.count):
        try:
            check(seed)
            check(seed, Plan(at_first_sight=True), 'bitwise')
        except Exception as error:
            error.add_note(f'seed {seed}')
            raise
    print(f'{given.count} graphs agree')  # noqa: T201 what the command is for


if __name__ == '__main__':
    main()
