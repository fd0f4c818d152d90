"""The values that a run is given: their checks, and the errors that explain them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from adjoint.core.errors import MissingInputError, ShapeError, TensorTypeError
from adjoint.core.extent import extents_of, names_in
from adjoint.core.node import Node
from adjoint.core.tensor_type import Size, TensorType

__all__ = ['as_tensor', 'check_keys', 'circumstances', 'missing', 'names_sizes', 'naming', 'sizes_of']


def check_keys(input_values: object) -> None:
    """Refuse what is no dictionary from nodes to values.

    Raises
    ------
    TensorTypeError
        It is no mapping, or a key of it is no node.
    """
    if not isinstance(input_values, Mapping):
        msg = f'run takes a dictionary from nodes to tensors, and got {type(input_values).__name__}'
        raise TensorTypeError(msg)
    for node in cast('Mapping[object, object]', input_values):
        if not isinstance(node, Node):
            msg = (
                f'a key of the values is {node!r} of type {type(node).__name__}, and keys are nodes: '
                f'write run({{x: tensor}}) with the Variable itself'
            )
            raise TensorTypeError(msg)


def as_tensor(node: Node, value: Any) -> torch.Tensor:
    """Return the value given for a node as a tensor.

    Raises
    ------
    TensorTypeError
        It is neither a tensor, nor a NumPy array, nor a number.
    """
    if isinstance(value, torch.Tensor):
        return value
    dtype = None if node.type is None else node.type.dtype
    if isinstance(value, (bool, int, float, complex)):
        return torch.tensor(value, dtype=dtype)
    if type(value).__module__ == 'numpy':
        return torch.as_tensor(value)
    way_out = ': make a tensor of it with torch.tensor(...)' if isinstance(value, (list, tuple)) else ''
    given = type(cast('object', value)).__name__
    msg = (
        f"the value given for '{node}' is a {given}, and must be a torch tensor, a NumPy "
        f'array or a Python number{way_out}\n{node.location}'
    )
    raise TensorTypeError(msg)


def sizes_of(nodes: Sequence[Node], values: Sequence[torch.Tensor]) -> dict[str, int]:
    """Return the sizes that the types of the nodes name, after checking that each value fits its node.

    Raises
    ------
    ShapeError, TensorTypeError
        A value does not fit, or a name stands for two sizes.
    """
    sizes: dict[str, tuple[int, Node]] = {}
    for node, value in zip(nodes, values, strict=True):
        if node.type is not None:
            _check_type(node, node.type, value, sizes)
    return {name: size for name, (size, _) in sizes.items()}


def names_sizes(node: Node) -> bool:
    """Whether the type of a node names a size."""
    return any(isinstance(size, str) for size in _shape(node))


def naming(nodes: Iterable[Node], fed: Iterable[Node], others: Iterable[Node]) -> tuple[Node, ...]:
    """Return those of the others that name a size which an attribute of a node holds, and no fed one names.

    Raises
    ------
    MissingInputError
        None of them names it.
    """
    known = {size for node in fed for size in _shape(node)}
    found: list[Node] = []
    for node in nodes:
        for extent in extents_of(node.attrs):
            for name in () if extent in known else sorted(names_in([extent]) - known):
                sized = next((x for x in others if name in _shape(x)), None)
                if sized is None:
                    msg = (
                        f"no value says what the size '{name}' is, which '{node}' uses: "
                        f'give one for a variable whose type names it\n{node.location}'
                    )
                    raise MissingInputError(msg)
                found.append(sized)
                known.update(_shape(sized))
    return tuple(found)


def _shape(node: Node) -> tuple[Size, ...]:
    return () if node.type is None or node.type.shape is None else node.type.shape


def _check_type(
    node: Node, known: TensorType, value: torch.Tensor, sizes: dict[str, tuple[int, Node]]
) -> None:
    """Check a value against the type of its node; named sizes must agree over all values."""
    got = TensorType.of(value)
    if known.dtype is not None and known.dtype != got.dtype:
        dtype = str(known.dtype)
        raise TensorTypeError(_misfit(node, known, got, f'convert it with value.to({dtype})'))
    if known.device is not None and known.device != got.device:
        raise TensorTypeError(_misfit(node, known, got, f'move it with value.to({str(known.device)!r})'))
    if known.shape is None:
        return
    if len(known.shape) != value.ndim:
        remedy = f'it has {value.ndim} axes instead of {len(known.shape)}'
        raise ShapeError(_misfit(node, known, got, remedy))
    for axis, (wanted, size) in enumerate(zip(known.shape, value.shape, strict=True)):
        if isinstance(wanted, int) and wanted != size:
            remedy = f'axis {axis} has size {size} instead of {wanted}'
            raise ShapeError(_misfit(node, known, got, remedy))
        if isinstance(wanted, str):
            first, other = sizes.setdefault(wanted, (size, node))
            if first != size:
                remedy = f"axis {axis} has size {size}, and '{wanted}' is {first} in '{other}'"
                raise ShapeError(_misfit(node, known, got, remedy))


def _misfit(node: Node, known: TensorType, got: TensorType, remedy: str) -> str:
    return f"the value given for '{node}' is {got} and its type {known}: {remedy}\n{node.location}"


def missing(nodes: Sequence[Node]) -> MissingInputError:
    """Return the error that names variables without a value."""
    listed = '\n'.join(
        f"  '{node}'{'' if node.type is None else f': {node.type}'}\n{node.location}" for node in nodes
    )
    plural = 's have' if len(nodes) > 1 else ' has'
    return MissingInputError(
        f'{len(nodes)} variable{plural} no value: add them to the dictionary given to run\n{listed}'
    )


def circumstances(node: Node, values: Mapping[Node, Any]) -> str:
    """Return what was going on when a kernel failed: the node, the types of its operands, the user's line."""
    listed = '\n'.join(
        f'  input {i}: {_type_of(values[x])}    {x}' for i, x in enumerate(node.inputs) if x in values
    )
    attrs = f' with {node.attrs}' if node.attrs else ''
    devices = sorted({str(x.device) for x in values.values() if isinstance(x, torch.Tensor) and x.ndim})
    if len(devices) > 1:
        # A number on the CPU goes with any device, so that only others are named.
        listed += (
            f'\n  they are on {" and ".join(devices)}: move what is given with value.to({devices[-1]!r})'
        )
    return f"while computing node '{node}', op {node.op.name}{attrs}\n{listed}\n{node.location}"


def _type_of(value: Any) -> TensorType:
    """Return the type of a value; of an op with several outputs, that of a tuple."""
    if isinstance(value, tuple):
        return TensorType(items=tuple(_type_of(v) for v in cast('tuple[Any, ...]', value)))
    return TensorType.of(value)
