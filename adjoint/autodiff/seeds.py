"""What derivatives start from: nodes that can be differentiated, tangents and cotangents that fit them."""

from collections.abc import Sequence
from typing import Any, cast

import torch

from adjoint.core.errors import NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.core.tensor_type import Size, TensorType
from adjoint.core.wording import described

__all__ = ['checked', 'fitting', 'seeds_of']


def checked(name: str, output: Node | Sequence[Node], nodes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """Return outputs and what they are differentiated by, for a function of that name.

    Raises
    ------
    TensorTypeError
        Something is no node.
    NonDifferentiableError
        An output is known to be an integer or a boolean.
    """
    if isinstance(nodes, Node):
        msg = (
            f"{name} takes a list of nodes as its second argument, and got node '{nodes}': write "
            f'{name}(y, [x])\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    outputs = list(output) if isinstance(output, (list, tuple)) else [cast('Node', output)]
    if not isinstance(nodes, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
        msg = (
            f'{name} takes a list of nodes as its second argument, and got {described(nodes)}: write '
            f'{name}(y, [x])\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    for what, given in (('output', outputs), ('node to differentiate by', nodes)):
        for node in given:
            if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
                msg = (
                    f'the {what} is {described(node)}, and {name} are taken of nodes by nodes: pass the '
                    f'Variable or another node of the graph itself\n{location_of(calling_site())}'
                )
                raise TensorTypeError(msg)
    for y in outputs:
        if y.type is not None and not y.type.is_differentiable:
            msg = (
                f"the output '{y}' is {y.type}, and only floating and complex values have "
                f'derivatives: differentiate what it was made from, or cast(...) it\n{y.location}'
            )
            raise NonDifferentiableError(msg)
    return outputs, list(nodes)


def seeds_of(outputs: Sequence[Node], cotangents: Any) -> dict[Node, Node]:
    """Return outputs with their cotangents; those of an output that stands twice are added.

    Raises
    ------
    TensorTypeError, ShapeError
        They do not fit: in number, in kind, or in their known types.
    """
    whole: Any = cotangents
    if not isinstance(cotangents, (list, tuple)) or len(whole) != len(outputs):
        msg = (
            f'there are {len(outputs)} outputs, and cotangents is {described(whole)}: give a list with '
            f'one for each output, or None where nothing flows back\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    seeds: dict[Node, Node] = {}
    for y, given in zip(outputs, whole, strict=True):
        if given is not None:
            fits = fitting(given, y.type, f"the cotangent of '{y}'", f"'{y}'")
            ct = as_node(fits, 'cotangents')
            seeds[y] = seeds[y] + ct if y in seeds else ct
    return seeds


def fitting(given: Any, known: TensorType | None, name: str, of: str) -> Operand:
    """Return a tangent or cotangent of a value of a known type; a number as a tensor of its dtype.

    Raises
    ------
    TensorTypeError, ShapeError
        It is no tensor, or is known to have another shape or dtype.
    """
    if isinstance(given, (bool, int, float, complex)):
        dtype, device = (None, None) if known is None else (known.dtype, known.device)
        given = torch.tensor(given, dtype=dtype, device=device)
    elif type(given).__module__ == 'numpy':
        given = torch.as_tensor(given)
    if not isinstance(given, (Node, torch.Tensor)):
        msg = (
            f'{name} is {described(given)}, and must be a tensor or a node, as {of} is'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    got = given.type if isinstance(given, Node) else TensorType.of(given)
    if known is None or got is None:
        return given
    if known.shape is not None and got.shape is not None and not _may_be_equal(known.shape, got.shape):
        msg = f'{name} is {got}, and {of} is {known}: give it the same shape\n{location_of(calling_site())}'
        raise ShapeError(msg)
    if known.dtype is not None and got.dtype is not None and known.dtype != got.dtype:
        msg = (
            f'{name} is {got}, and {of} is {known}: convert it with .to({known.dtype})'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    return given


def _may_be_equal(a: Sequence[Size], b: Sequence[Size]) -> bool:
    """Whether two shapes can be the same; sizes by name are known at the run only."""
    return len(a) == len(b) and all(
        s == t or not (isinstance(s, int) and isinstance(t, int)) for s, t in zip(a, b, strict=True)
    )
