"""``from_torch``: any program written for PyTorch as a graph."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from adjoint.core.errors import TensorTypeError
from adjoint.core.graph import Graph
from adjoint.core.node import Node
from adjoint.core.tensor_type import Size, TensorType
from adjoint.interop.capture import IS_TENSOR, capture, lifted
from adjoint.interop.importer import Importer
from adjoint.interop.sizes import named_axes
from adjoint.ops.creation import Variable

__all__ = ['from_torch']


def from_torch(
    program: Callable[..., Any],
    *examples: Any,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    seed: int = 0,
) -> Graph:
    """Import a program written for PyTorch as a graph whose derivatives are built by the rules of adjoint.

    Parameters
    ----------
    program : torch.nn.Module or callable
        It is called once, on tensors without data. A module is imported in the mode it is in, training or
        evaluation.
    *examples
        Arguments: tensors, in nested tuples, lists and dicts if you like, and anything else, which becomes
        part of the graph. A tensor by which the program itself takes a gradient has to require one.
    kwargs : mapping of str, optional
        Keyword arguments.
    dynamic_shapes : mapping or sequence, optional
        The axes whose sizes are free: by the name of the argument, or for the tensors in order, a mapping
        from axis to a name (or a ``torch.export.Dim``), such as ``{'x0': {0: 'batch'}}``. Equal names are
        equal sizes; the examples need a size of at least 2 there, another one for each name. One import then
        serves every size for which the program does the same.
    seed : int
        For random ops: dropout has the same mask in each run, forward and backward.

    Returns
    -------
    Graph
        Its variables carry the names of arguments, parameters and buffers; each node the user's line and
        the module that it came from.

    Raises
    ------
    ShapeError
        ``dynamic_shapes`` does not fit the arguments, or the program fixes one of the sizes.
    UnsupportedOpError
        The program uses an op that is not supported, control flow that depends on values, or something
        whose meaning for derivatives would be lost; with the line.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> graph = ad.from_torch(lambda x: torch.special.xlog1py(x, x).sum(), torch.tensor([0.5, 2.0]))
    >>> x, = graph.variables
    >>> ad.Evaluator(ad.gradients(graph.outputs, [x])).run({x: torch.tensor([1.0, 2.0])})
    [tensor([1.1931, 1.7653])]
    """
    if not callable(program):
        msg = f'from_torch takes a module or a function, and got {program!r} of type {type(program).__name__}'
        raise TensorTypeError(msg)
    call = lifted(program, examples, kwargs or {})
    axes = named_axes(dynamic_shapes, list(call.tensors))
    recording = capture(call, axes)
    parameters = _variables(call.parameters)
    buffers = _variables(call.buffers)
    arguments = _variables(call.tensors, axes)
    importer = Importer(recording, [*parameters.values(), *buffers.values(), *arguments.values()], seed)
    results = iter(importer.run())
    outputs = [next(results) if known is IS_TENSOR else known for known in recording.results]
    names = [*parameters, *buffers, *arguments]
    updates = {names[i]: node for i, node in importer.written().items()}
    updates |= dict(zip(recording.rebound, results, strict=True))
    tensors = iter(arguments.values())
    leaves = [next(tensors) if isinstance(leaf, torch.Tensor) else leaf for leaf in call.leaves]
    given = {**call.parameters, **call.buffers}
    return Graph(
        pytree.tree_unflatten(leaves, call.structure),
        parameters,
        buffers,
        pytree.tree_unflatten(outputs, recording.structure),
        updates,
        {name: value.detach() for name, value in given.items()},
        tuple(recording.sizes.assumptions()),
    )


def _variables(
    tensors: Mapping[str, torch.Tensor], axes: Mapping[str, Mapping[int, str]] | None = None
) -> dict[str, Node]:
    """Return a typed variable for each tensor."""
    made: dict[str, Node] = {}
    for name, value in tensors.items():
        known = TensorType.of(value)
        sizes: list[Size] = list(known.shape or ())
        for position, size in (axes or {}).get(name, {}).items():
            sizes[position] = size
        made[name] = Variable(name, sizes, known.dtype, known.device)
    return made
