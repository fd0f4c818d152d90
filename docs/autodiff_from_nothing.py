"""Automatic differentiation from nothing, in one sitting.

This file rebuilds the core of the library on nothing but the kernels of torch: `sin`, `matmul` and
their like, on plain tensors. It never asks torch for a derivative. At its end a small network
learns, by gradients that you have seen being made. Read it from top to bottom, then run it with
`python docs/autodiff_from_nothing.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

# ---------------------------------------------------------------------- 1. A program is a graph
#
# To a computer, sin(x) * x is a list of small steps: take x, take its sine, multiply the two. Write
# each step down as a *node*, which knows the *op* that it applies and the nodes that it applies it
# to, and the program is a graph. Nothing is computed yet: a node only promises a value.


@dataclass(eq=False, repr=False)  # two nodes are equal only if they are the same node
class Node:
    """One step of a program: an op, and the nodes that it is applied to."""

    op: 'Op'
    inputs: 'list[Node]'
    attrs: dict[str, Any] = field(default_factory=dict[str, Any])  # whatever is not a node

    # Operators let us write `x * x + 1`. Each only calls an op; the ops come in section 3.
    def __add__(self, other: 'Operand') -> 'Node':
        return add(self, other)

    def __mul__(self, other: 'Operand') -> 'Node':
        return mul(self, other)

    def __sub__(self, other: 'Operand') -> 'Node':
        return add(self, neg(other))

    def __rsub__(self, other: 'Operand') -> 'Node':
        return add(other, neg(self))

    def __truediv__(self, other: 'Operand') -> 'Node':
        return div(self, other)

    def __rtruediv__(self, other: 'Operand') -> 'Node':
        return div(other, self)

    def __pow__(self, exponent: float) -> 'Node':
        return power(self, exponent=exponent)

    def __matmul__(self, other: 'Operand') -> 'Node':
        return matmul(self, other)

    def __neg__(self) -> 'Node':
        return neg(self)

    __radd__, __rmul__ = __add__, __mul__


Operand: TypeAlias = Node | Tensor | float


# ------------------------------------------------------------------ 2. An op knows three things
#
# It *builds* its node; it *computes* the node's value from the values of the inputs; and it lets a
# derivative pass through: its *gradient*, which needs a word.
#
# Let L be some number far downstream of y = op(x). Write ȳ for dL/dy: how L moves when y moves. It
# is called the *cotangent* of y, and has the shape of y. The chain rule says x̄ = ȳ · dy/dx. The op
# knows dy/dx, so that, given ȳ, it can return x̄. No op ever has to see the whole program. And here
# is the point of this library: ȳ and x̄ are *nodes*. A gradient is written in the same ops as the
# program. It is a program itself: it can be read, run, and differentiated again.


@dataclass(eq=False)
class Op:
    """How a node is built, computed and differentiated."""

    name: str
    kernel: Callable[..., Tensor]

    def __call__(self, *operands: Operand, **attrs: Any) -> Node:
        return Node(self, [as_node(operand) for operand in operands], attrs)

    def compute(self, node: Node, values: list[Tensor]) -> Tensor:
        return self.kernel(*values, **node.attrs)

    def gradient(self, node: Node, ct: Node) -> list[Node | None]:
        """One cotangent for each input, given that of the node; None where nothing flows."""
        return [None for _ in node.inputs]


def _no_value(name: str) -> Tensor:
    raise ValueError(f'no value is given for the variable {name}')


# A variable is an input of the program: its value is given when it runs. A constant has its own.
variable, constant = Op('variable', _no_value), Op('constant', torch.as_tensor)


def as_node(operand: Operand) -> Node:
    """Let a number or a tensor stand where a node is wanted."""
    if isinstance(operand, Node):
        return operand
    return constant(data=operand, dtype=None if isinstance(operand, Tensor) else torch.float64)


# ------------------------------------------------------------------------------ 3. A dozen ops
#
# Every op below states one fact of calculus, and there are three kinds of facts. The first kind is
# *linear*: every y is a sum of some entries of x. Its derivative is the same map, transposed: where
# the value copies, the gradient sums, and where the value sums, the gradient copies.


@dataclass(eq=False)
class Linear(Op):
    """A linear map of the first operand. It states the transposed map, called its *adjoint*."""

    adjoint: Callable[[Node, Node], Node]

    def gradient(self, node: Node, ct: Node) -> list[Node | None]:
        x, *others = node.inputs
        return [self.adjoint(ct, x), *(None for _ in others)]


def _expand_like(x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype).expand_as(like)


def _sum_to_like(x: Tensor, like: Tensor) -> Tensor:
    return x.sum_to_size(like.shape).to(like.dtype)


# `expand_like(x, like)` copies x along the axes that it lacks; `sum_to_like` sums over them. Each
# is the adjoint of the other. Neither has to know a shape: one graph serves every size of batch.
expand_like = Linear('expand_like', _expand_like, lambda ct, x: sum_to_like(ct, x))  # noqa: PLW0108
sum_to_like = Linear('sum_to_like', _sum_to_like, expand_like)
total = Linear('total', torch.sum, expand_like)
transpose = Linear('transpose', torch.t, lambda ct, x: transpose(ct))


# The second kind works entry by entry. It states its *partial derivatives*; the class multiplies by
# ȳ, and takes care of *broadcasting*: in `x + b`, a bias b of shape (3,) is silently copied to each
# row of an x of shape (5, 3). Every copy moves L, so that the cotangents of the copies are summed.
@dataclass(eq=False)
class Unary(Op):
    """A function of each entry; `partial(y, x)` is dy/dx."""

    partial: Callable[[Node, Node], Operand]

    def gradient(self, node: Node, ct: Node) -> list[Node | None]:
        return [ct * self.partial(node, node.inputs[0])]


@dataclass(eq=False)
class Binary(Op):
    """A function of two matching entries; `partials(y, a, b)` are dy/da and dy/db."""

    partials: Callable[[Node, Node, Node], tuple[Operand, Operand]]

    def gradient(self, node: Node, ct: Node) -> list[Node | None]:
        partials = self.partials(node, *node.inputs)
        return [sum_to_like(ct * p, x) for p, x in zip(partials, node.inputs, strict=True)]


def _slope_of_power(y: Node, x: Node) -> Operand:
    n = float(y.attrs['exponent'])
    # x ** 0 is 1 everywhere: its slope is 0 also at x = 0, where 0 * x ** -1 would be no number.
    return n * x ** (n - 1) if n else 0.0


add = Binary('add', torch.add, lambda y, a, b: (1.0, 1.0))
mul = Binary('mul', torch.mul, lambda y, a, b: (b, a))
div = Binary('div', torch.div, lambda y, a, b: (1 / b, -y / b))
neg = Unary('neg', torch.neg, lambda y, x: -1.0)
power = Unary('power', torch.pow, _slope_of_power)
exp = Unary('exp', torch.exp, lambda y, x: y)  # the value itself: computed once, used twice
log = Unary('log', torch.log, lambda y, x: 1 / x)
sin = Unary('sin', torch.sin, lambda y, x: cos(x))
cos = Unary('cos', torch.cos, lambda y, x: -sin(x))
tanh = Unary('tanh', torch.tanh, lambda y, x: 1 - y * y)


class MatMul(Op):
    """The product of two matrices. The third kind of fact: linear in each of the operands."""

    def gradient(self, node: Node, ct: Node) -> list[Node | None]:
        a, b = node.inputs
        return [ct @ transpose(b), transpose(a) @ ct]


matmul = MatMul('matmul', torch.mm)


# ------------------------------------------------------------------------ 4. Order, and values
#
# To run a graph, visit each node after its inputs: a *topological* order. A recursive function
# breaks at Python's limit of a thousand calls, and programs are deeper than that. So we keep the
# stack ourselves: a node stays on it until all of its inputs are done.


def topological_sort(nodes: Sequence[Node]) -> list[Node]:
    """Every node that the given ones depend on, each once, inputs first."""
    done: dict[Node, None] = {}  # a set that remembers the order
    stack = list(nodes)
    while stack:
        waiting = [x for x in stack[-1].inputs if x not in done]
        if waiting:
            stack.extend(waiting)
        else:
            done[stack.pop()] = None
    return list(done)


class Evaluator:
    """Computes the values of some nodes, given those of the variables that they depend on."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes, self.order = nodes, topological_sort(nodes)

    def run(self, inputs: Mapping[Node, Tensor]) -> list[Tensor]:
        """Compute every value once, in order; return those that were asked for."""
        values = dict(inputs)
        for node in self.order:
            if node not in values:
                values[node] = node.op.compute(node, [values[x] for x in node.inputs])
        return [values[node] for node in self.nodes]


# ---------------------------------------------------------------------------- 5. The gradient
#
# Now the whole of reverse mode. Walk the order backwards: a node is met after everything that uses
# it, so that its cotangent is complete. Hand that to the op, and add what it returns to the
# cotangents of the inputs. *Add*, because an x that is used twice moves L in two ways.
#
# This costs one rule for each node, however many variables there are. A million parameters get
# their derivatives for the price of a few runs: that is why large networks can be trained at all.


def gradients(output: Node, nodes: Sequence[Node], seed: Operand = 1.0) -> list[Node]:
    """Nodes for the derivative of the sum of `seed * output` by each of the given nodes."""
    cotangents = {output: expand_like(seed, output)}
    for node in reversed(topological_sort([output])):
        if node in cotangents:
            parts = node.op.gradient(node, cotangents[node])
            for x, part in zip(node.inputs, parts, strict=True):
                if part is not None:
                    cotangents[x] = cotangents[x] + part if x in cotangents else part
    return [cotangents.get(node) or expand_like(0.0, node) for node in nodes]


# ------------------------------------------------------------------------ 6. Why believe it?
#
# A wrong sign in a rule raises no error; training is a little worse, for ever. So we ask witnesses
# that know nothing of our rules. First the definition: move one entry by h both ways, and see how
# the output moves. This *central difference* errs by about h² + ε/h, where ε = 2⁻⁵² is the rounding
# of a double. That is least near h = ε^(1/3), and leaves about ten right digits.

STEP = torch.finfo(torch.float64).eps ** (1 / 3)


def numeric_gradient(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative of the sum of f(x) by each entry of x, by central differences."""
    moves = STEP * torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    return torch.stack([(f(x + h) - f(x - h)).sum() / (2 * STEP) for h in moves]).view_as(x)


# That takes two runs for each entry of x; the second witness takes two in all. Let J be the matrix
# of all dy/dx. For any direction t of x and any weights w of y, ⟨w, J t⟩ = ⟨Jᵀ w, t⟩: on the left a
# difference along t, on the right our gradient, seeded with w. Random t and w leave no way to hide.
def adjoint_gap(y: Node, x: Node, at: Tensor, t: Tensor, w: Tensor) -> float:
    """How far the two sides of the adjoint identity are apart, relative to their size."""
    value = Evaluator([y])
    ahead, behind = (value.run({x: at + h * t})[0] for h in (STEP, -STEP))
    (pulled_back,) = Evaluator(gradients(y, [x], seed=w)).run({x: at})
    left, right = (w * (ahead - behind) / (2 * STEP)).sum(), (pulled_back * t).sum()
    return float((left - right).abs() / left.abs())


# -------------------------------------------------------------------- 7. A network that learns
#
# Two half-moons of points, one inside the curve of the other: no straight line parts them. A small
# network gives each point a score s, whose sign is its guess of the label, +1 or -1. The loss
# log(1 + exp(-label · s)) is small where they agree. The rest is *gradient descent*: find the
# derivative of the loss by each parameter, move each a little against it, and again.


def two_moons(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make n noisy points (n, 2) on two half-circles, and their labels (n, 1)."""
    angle = math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    label = 1.0 - 2.0 * (torch.arange(n) % 2).to(torch.float64)
    points = torch.stack([angle.cos() - label / 2, label * (angle.sin() - 0.25)], dim=1)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return points + 0.1 * noise, label[:, None]


def train(steps: int = 400, rate: float = 1.0, hidden: int = 16) -> tuple[list[float], float]:
    """Train on 200 points; return the loss at each step, and the accuracy on 200 new points."""
    x, label = variable(name='x'), variable(name='label')
    w1, b1, w2, b2 = parameters = [variable(name=name) for name in ('w1', 'b1', 'w2', 'b2')]
    score = tanh(x @ w1 + b1) @ w2 + b2
    losses = log(1 + exp(-label * score))
    loss = total(losses) / total(expand_like(1.0, losses))
    step = Evaluator([loss, *gradients(loss, parameters)])  # built once, run as often as we like

    generator = torch.Generator().manual_seed(0)
    points, labels = two_moons(200, generator)
    shapes = [(2, hidden), (hidden,), (hidden, 1), (1,)]
    draws = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    values = [draw / draw.shape[0] ** 0.5 for draw in draws]
    history: list[float] = []
    for _ in range(steps):
        fed = dict(zip(parameters, values, strict=True))
        value, *slopes = step.run({x: points, label: labels, **fed})
        values = [v - rate * slope for v, slope in zip(values, slopes, strict=True)]
        history.append(float(value))

    points, labels = two_moons(200, generator)
    (scores,) = Evaluator([score]).run({x: points, **dict(zip(parameters, values, strict=True))})
    return history, float((scores * labels > 0).double().mean())


# ------------------------------------------------------------------------------- 8. The story


def main() -> None:
    """Tell it in numbers."""
    x = variable(name='x')
    y = sin(x) * x
    (first,) = gradients(y, [x])
    (second,) = gradients(first, [x])  # a gradient is a graph, so the same function takes it again
    nodes, at = [y, first, second], torch.tensor(2.0, dtype=torch.float64)
    truths = [2 * math.sin(2), math.sin(2) + 2 * math.cos(2), 2 * math.cos(2) - 2 * math.sin(2)]
    print('1. sin(x) * x and its derivatives at x = 2: as a graph, and by the formula')
    for i, value in enumerate(Evaluator(nodes).run({x: at})):
        size = len(topological_sort([nodes[i]]))
        print(f'   order {i}: {value:+.12f}  {truths[i]:+.12f}  ({size} nodes)')

    generator = torch.Generator().manual_seed(0)
    m0, t, w = (torch.randn(3, n, generator=generator, dtype=torch.float64) for n in (4, 4, 3))
    m = variable(name='m')
    z = tanh(m @ transpose(m)) / (2 + cos(total(m)))  # a number, broadcast to a matrix
    (ours,) = Evaluator(gradients(z, [m])).run({m: m0})
    theirs = numeric_gradient(lambda value: Evaluator([z]).run({m: value})[0], m0)
    print('2. A function of a 3 x 4 matrix, tanh(m mT) / (2 + cos(sum m)), and two witnesses')
    print(f'   largest error against central differences  {(ours - theirs).abs().max():.1e}')
    print(f'   gap of the adjoint identity                {adjoint_gap(z, m, m0, t, w):.1e}')

    history, accuracy = train()
    print('3. A network with 16 hidden units learns two moons')
    for i in (0, 9, 99, len(history) - 1):
        print(f'   step {i + 1:3d}: loss {history[i]:.4f}')
    print(f'   {accuracy:.1%} of 200 new points are on the right side')


if __name__ == '__main__':
    main()
