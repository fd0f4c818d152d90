"""Values that no derivative flows through: inputs, constants, and tensors of the shape of another."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import Size, TensorType, size_tuple

__all__ = [
    'Constant',
    'Creation',
    'OnesLike',
    'Placeholder',
    'Variable',
    'ZerosLike',
    'constant',
    'ones_like',
    'placeholder',
    'zeros_like',
]


class Creation(Op):
    """Kind of the ops whose value does not depend on the numbers in their operands.

    Nothing flows back: the cotangent of each operand is zero.
    """

    nothing = 'sizes'

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [zeros_like(x) for x in node.inputs]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        return None


class Placeholder(Op):
    """An input of the graph: its value is given to the run."""

    shareable = False

    def __call__(
        self,
        name: str = '',
        shape: Sequence[Size] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Node:
        """Build a variable; the public form is :func:`Variable`."""
        return Variable(name, shape, dtype, device)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        msg = f"variable '{node}' has no value of its own: give it one in the run\n{node.location}"
        raise RuntimeError(msg)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        msg = f"variable '{node}' has no inputs, so no cotangents to give them\n{node.location}"
        raise RuntimeError(msg)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return None

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        return node.given_name or 'variable'


placeholder = Placeholder()


def Variable(  # noqa: N802 the contract's name
    name: str = '',
    shape: Sequence[Size] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Node:
    """Make an input node.

    Parameters
    ----------
    name : str
        For people: shown in messages and views. Two variables may share a name.
    shape : sequence of int, str or None, optional
        Sizes; a string names a size that is the same wherever the name stands, such as
        ``('batch', 64)``, and is taken to differ from every other size and from 1.
        With a shape, operands that do not fit are an error at the line that wrote them.
    dtype : torch.dtype, optional
        Without one, a value of any dtype may be given.
    device : torch.device or str, optional
        Without one, a value on any device may be given.

    Returns
    -------
    Node
        Its op is ``placeholder``.

    Raises
    ------
    TensorTypeError
        The name is not a string, or the shape, dtype or device is not one.

    Examples
    --------
    >>> import torch
    >>> Variable('images', shape=('batch', 64), dtype=torch.float32)
    <Node images: float32[batch, 64]>
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
        msg = f"a variable's name is a string; got {name!r} of type {type(name).__name__}"
        raise TensorTypeError(msg)
    if dtype is not None and not isinstance(dtype, torch.dtype):  # pyright: ignore[reportUnnecessaryIsInstance] same
        msg = f'dtype of variable {name!r} must be a torch.dtype such as torch.float64; got {dtype!r}'
        raise TensorTypeError(msg)
    known = None
    if shape is not None or dtype is not None or device is not None:
        known = TensorType(
            None if shape is None else size_tuple(shape),
            dtype,
            None if device is None else torch.device(device),
        )
    return Node([], placeholder, None, name, known)


class Constant(Creation):
    """A tensor, or a Python number as a 0-d tensor, that is part of the graph.

    The tensor is kept, not copied: changing it in place changes the constant.
    """

    def __call__(self, value: Operand, name: str = '') -> Node:
        """Build a constant.

        Parameters
        ----------
        value : torch.Tensor or number
            A number becomes a 0-d tensor of torch's default dtype for it.
        name : str, optional
            For people.

        Raises
        ------
        TensorTypeError
            The value is neither.
        """
        if isinstance(value, Node):
            return value
        if not isinstance(value, (torch.Tensor, bool, int, float, complex)):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            return as_node(value, self.name)
        tensor = torch.as_tensor(value)
        attrs: dict[str, Any] = {'constant': tensor}
        if tensor is not value:
            # Nobody else holds the tensor, so that its value is known to stay.
            attrs['number'] = value
        return Node([], self, attrs, name, TensorType.of(tensor))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return node.attrs['constant']

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return TensorType.of(node.attrs['constant'])

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        value: torch.Tensor = node.attrs['constant']
        return repr(value.item()) if value.numel() == 1 and value.device.type != 'meta' else 'constant'


class _Like(Creation):
    """A tensor of the shape, dtype and device of its operand."""

    axes = ()

    def __call__(self, a: Operand) -> Node:
        return Node([as_node(a, self.name)], self)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]


class ZerosLike(_Like):
    """Zeros of the shape, dtype and device of ``a``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.zeros_like(a)


class OnesLike(_Like):
    """Ones of the shape, dtype and device of ``a``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.ones_like(a)


constant = Constant()
zeros_like = ZerosLike()
ones_like = OnesLike()
