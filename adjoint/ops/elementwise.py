"""The kinds of the elementwise ops: each states the diagonal of its Jacobian, and the rest follows."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import torch

from adjoint.core.node import Node, Number, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.linear import conj, expand_like, same_type, sum_to_like
from adjoint.ops.masks import any_like

__all__ = ['Binary', 'Elementwise', 'Partial', 'Step', 'Unary', 'times']

# A partial derivative: a node, a number (1 and -1 make no node), or None where nothing flows.
Partial: TypeAlias = Node | Number | None

_NUMBERS = (bool, int, float, complex)


def times(t: Node, partial: Partial) -> Node | None:
    """Return a tangent times a partial, in the smallest form: ``t``, ``-t``, ``t / x`` or ``t * partial``."""
    if partial is None:
        return None
    if not isinstance(partial, Node):
        if partial == -1:
            return t.inputs[0] if t.op.name == 'neg' else -t
        return t if partial == 1 else t * partial
    is_reciprocal = partial.op.name == 'div' and partial.attrs.get('side') == 'left'
    if is_reciprocal and partial.attrs['constant'] == 1:
        return t / partial.inputs[0]
    if t.op is ones_like and same_type(t, partial):
        return partial
    return t * partial


def _conjugate(partial: Partial) -> Partial:
    if isinstance(partial, Node):
        if partial.op.name == 'div' and partial.attrs.get('side') == 'left':
            # Keep the form 1 / x in sight of `times`.
            conjugate = conj(partial.inputs[0])
            constant = partial.attrs['constant']
            return partial if conjugate is partial.inputs[0] else constant.conjugate() / conjugate
        return conj(partial)
    return None if partial is None else partial.conjugate()


class Elementwise(Op):
    """Kind of the ops that work entry by entry, on operands that broadcast."""

    # The function of torch that computes the value.
    kernel: ClassVar[Callable[..., torch.Tensor]]

    def operands(self, node: Node, values: Sequence[Any] | None = None) -> list[Any]:
        """Return the operands in order: nodes (or the given values) and Python numbers."""
        return list(node.inputs if values is None else values)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return type(self).kernel(*input_values)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Infer the dtype also where the number of axes is not known, if one dtype decides it."""
        ranked = [t for t in input_types if t.shape is not None]
        dtypes = {t.dtype for t in input_types}
        if len(ranked) == len(input_types) or len(dtypes) > 1 or None in dtypes:
            return super().infer(node, input_types)
        stand_ins = [TensorType((1,), t.dtype, t.device) for t in input_types]
        probed = super().infer(node, stand_ins)
        return None if probed is None else TensorType(None, probed.dtype, probed.device)

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the mask for each operand: any of the entries that one is broadcast to.

        Of an op that drops entries, all that is needed is where its partials are not zero; these are steps.
        """
        if mask is None and self.drops:
            masks = [p if isinstance(p, Node) else None for p in self.stated(node)]
        else:
            masks = [mask] * len(node.inputs)
        if len(node.inputs) == 1:
            return masks
        return [m if m is None else any_like(m, x) for x, m in zip(node.inputs, masks, strict=True)]

    def stated(self, node: Node) -> 'Sequence[Partial]':
        """Return the partials by the inputs of a node."""
        raise NotImplementedError


class Unary(Elementwise):
    """Kind of the elementwise ops of one operand ``x``; states ``partial(y, x)``, which is dy/dx."""

    def __call__(self, x: Operand) -> Node:
        """Build the node."""
        return Node([x if isinstance(x, Node) else as_node(x, self.name)], self)

    def partial(self, y: Node, x: Node) -> Partial:
        """Return dy/dx, entry by entry; ``y`` is the node itself."""
        raise NotImplementedError

    def stated(self, node: Node) -> Sequence[Partial]:
        """Return the partial, as the only one."""
        return [self.partial(node, node.inputs[0])]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangent times the conjugate of the partial."""
        (x,) = node.inputs
        ct = times(output_grad, _conjugate(self.partial(node, x)))
        return [zeros_like(x) if ct is None else ct]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent times the partial, or the pullback of the pullback where none is stated."""
        if type(self).partial is Unary.partial:
            return super().jvp(node, input_tangents)
        (t,) = input_tangents
        return None if t is None else times(t, self.partial(node, node.inputs[0]))


class Binary(Elementwise):
    """Kind of the elementwise ops of two operands ``a`` and ``b`` that broadcast.

    Either may be a Python number. It is then no input but ``attrs['constant']``, and
    ``attrs['side']`` tells where it stood. States ``partials(y, a, b)``: dy/da and dy/db.
    """

    # Whether the kernel takes Python numbers; otherwise they are made tensors of the promoted dtype.
    takes_numbers: ClassVar[bool] = False

    # How a person writes it between its operands.
    sign: ClassVar[str | None] = None

    def __call__(self, a: Operand, b: Operand) -> Node:
        """Build the node."""
        if a.__class__ is Node and b.__class__ is Node:
            return Node([a, b], self)  # pyright: ignore[reportArgumentType] nodes, as just seen
        if isinstance(b, _NUMBERS):
            if isinstance(a, _NUMBERS):
                a = as_node(a, self.name)
            return Node([as_node(a, self.name)], self, {'constant': b, 'side': 'right'})
        if isinstance(a, _NUMBERS):
            return Node([as_node(b, self.name)], self, {'constant': a, 'side': 'left'})
        return Node([as_node(a, self.name), as_node(b, self.name)], self)

    def operands(self, node: Node, values: Sequence[Any] | None = None) -> list[Any]:
        """Return the two operands in order; the number, where one of them is one, among them."""
        given = list(node.inputs if values is None else values)
        if 'constant' in node.attrs:
            given.insert(0 if node.attrs.get('side') == 'left' else 1, node.attrs['constant'])
        return given

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        """Apply the kernel with torch's promotion of numbers."""
        a, b = self.operands(node, input_values)
        if not self.takes_numbers and 'constant' in node.attrs:
            (x,) = input_values
            constant = node.attrs['constant']
            number = torch.scalar_tensor(constant, dtype=torch.result_type(x, constant), device=x.device)
            a, b = (number, x) if a is constant else (x, number)
        return type(self).kernel(a, b)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        """Return dy/da and dy/db, entry by entry; ``y`` is the node, ``a`` or ``b`` may be a number."""
        raise NotImplementedError

    def stated(self, node: Node) -> Sequence[Partial]:
        """Return the partials by the operands that are nodes."""
        return [partial for _, partial in self._flows(node)]

    def _flows(self, node: Node) -> list[tuple[Node, Partial]]:
        """Return each operand that is a node with its partial."""
        operands = self.operands(node)
        partials = self.partials(node, *operands)
        return [(x, p) for x, p in zip(operands, partials, strict=True) if isinstance(x, Node)]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangents times the partials, summed back to the shapes of the operands."""
        keeps_shape = _keeps_type(node)
        cts: list[Node | None] = []
        for x, partial in self._flows(node):
            ct = times(output_grad, _conjugate(partial))
            if ct is None:
                cts.append(zeros_like(x))
            else:
                cts.append(ct if keeps_shape else sum_to_like(ct, x))
        return cts

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the sum of the tangents times the partials, of the shape of the node."""
        if type(self).partials is Binary.partials:
            return super().jvp(node, input_tangents)
        total: Node | None = None
        for (_, partial), t in zip(self._flows(node), input_tangents, strict=True):
            term = None if t is None else times(t, partial)
            if term is not None:
                total = term if total is None else total + term
        if total is None or _keeps_type(node):
            return total
        return expand_like(total, node)

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        """Return ``name(a, b)`` with the number in its place."""
        return f'{self.name}({", ".join(str(o) for o in self.operands(node, operands))})'


def _keeps_type(node: Node) -> bool:
    """Whether the node has the type of its operands even where that is not known."""
    if len(node.inputs) == 1:
        # A number does not change a floating dtype, unless it is complex.
        return not isinstance(node.attrs['constant'], complex)
    a, b = node.inputs
    return a is b


class Step(Op):
    """Kind of the ops that are locally constant: comparisons, rounding, signs, positions.

    Nothing flows through them: the derivative is zero where it exists, and is taken as zero at the
    jumps. The cotangents are zeros of the shapes of the operands.
    """

    nothing = 'step'

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [zeros_like(x) for x in node.inputs]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        return None
