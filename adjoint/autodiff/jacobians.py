"""Jacobians and Hessians of nodes, written out or applied to vectors, as nodes of the same graph."""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.gradients import gradients
from adjoint.autodiff.reverse import cotangents
from adjoint.autodiff.seeds import checked, fitting
from adjoint.core.errors import NonDifferentiableError, TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.ops.basis import basis, split_axis, zeros_between
from adjoint.ops.batch import spread
from adjoint.ops.body import variable_like
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.linear import conj

__all__ = ['Mode', 'hessian_products', 'hessians', 'jacobian_blocks', 'jacobians', 'refuse_complex']

Mode: TypeAlias = Literal['forward', 'reverse']


def jacobians(
    output_node: Node,
    nodes: Sequence[Node],
    *,
    mode: Mode | None = None,
    holomorphic: bool = False,
    nan_safe: bool = True,
) -> list[Node]:
    """Return the Jacobians of a node with respect to others, as nodes of the same graph.

    Parameters
    ----------
    output_node : Node
        What is differentiated, of any shape.
    nodes : sequence of Node
        What it is differentiated by: variables, or any other nodes.
    mode : {'forward', 'reverse'}, optional
        One pass for each entry of the nodes, or one for each entry of the output, all of them as one
        batch. By default what takes fewer passes, and reverse where the sizes are not known.
    holomorphic : bool
        That a complex output is a holomorphic function of complex nodes.
    nan_safe : bool
        As for :func:`gradients`.

    Returns
    -------
    list of Node
        One for each of ``nodes``, with the axes of the output followed by those of the node.

    Raises
    ------
    TensorTypeError
        An argument is not a node.
    NonDifferentiableError
        The output is an integer or a boolean; or there is no one complex number that is the derivative of
        a complex output by a complex node, as it is not said to be holomorphic.

    Notes
    -----
    Of a real output by a complex node, each row is a gradient by torch's convention, ready for descent.
    Of a complex output by a real node, an entry is the derivative of its real part, plus i times that of
    its imaginary part. Of a holomorphic function it is the complex derivative.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> J, = ad.jacobians(ad.cumsum(x ** 2, 0), [x])
    >>> ad.Evaluator([J]).run({x: torch.tensor([1.0, 2.0])})
    [tensor([[2., 0.],
            [2., 4.]])]
    """
    outputs, wanted = checked('jacobians', output_node, nodes)
    return jacobian_blocks(outputs, wanted, mode, holomorphic=holomorphic, nan_safe=nan_safe)[0]


def jacobian_blocks(
    ys: Sequence[Node], xs: Sequence[Node], mode: Mode | None, *, holomorphic: bool, nan_safe: bool = True
) -> list[list[Node]]:
    """Return the Jacobian of each of ``ys`` by each of ``xs``; see :func:`jacobians`."""
    if mode not in {'forward', 'reverse', None}:
        msg = f"mode is 'forward', 'reverse' or None, and got {mode!r}\n{location_of(calling_site())}"
        raise TensorTypeError(msg)
    chosen = _chosen(ys, xs) if mode is None else mode
    for y in ys:
        for x in xs:
            _check_complex(y, x, chosen, holomorphic=holomorphic)
    if chosen == 'reverse':
        return [_rows(y, xs, nan_safe=nan_safe) for y in ys]
    columns = [_columns(ys, x, nan_safe=nan_safe) for x in xs]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in ys]


def _is_complex(node: Node) -> bool:
    return node.type is not None and node.type.dtype is not None and node.type.dtype.is_complex


def _check_complex(y: Node, x: Node, mode: Mode, *, holomorphic: bool) -> None:
    if not _is_complex(x) or (holomorphic and _is_complex(y)):
        return
    if _is_complex(y):
        msg = (
            f"'{y}' is complex and so is '{x}', and only of a holomorphic function the derivative is one "
            f'complex number: pass holomorphic=True if it is one, or differentiate real and imaginary '
            f'parts\n{y.location}'
        )
        raise NonDifferentiableError(msg)
    if mode == 'forward':
        msg = (
            f"'{y}' is real and '{x}' complex, and forward mode along the real axis is half of the "
            f"derivative: use mode='reverse'\n{y.location}"
        )
        raise NonDifferentiableError(msg)


def _chosen(ys: Sequence[Node], xs: Sequence[Node]) -> Mode:
    """Return the mode with fewer passes."""
    if any(_is_complex(x) for x in xs) and not all(_is_complex(y) for y in ys):
        return 'reverse'
    if any(_is_complex(y) for y in ys):
        return 'forward'
    inputs, outputs = _count(xs), _count(ys)
    return 'forward' if inputs is not None and outputs is not None and inputs <= outputs else 'reverse'


def _count(nodes: Sequence[Node]) -> int | None:
    """Return how many entries nodes have together, where that is known."""
    total = 0
    for node in nodes:
        shape = (None,) if node.type is None or node.type.shape is None else node.type.shape
        known = [s for s in shape if isinstance(s, int)]
        if len(known) < len(shape):
            return None
        total += math.prod(known)
    return total


def refuse_complex(nodes: Sequence[Node]) -> None:
    """See that second derivatives are taken by real nodes.

    Raises
    ------
    NonDifferentiableError
        One is complex.
    """
    for x in nodes:
        if _is_complex(x):
            msg = (
                f"'{x}' is {x.type}, and there is no Hessian by complex numbers: the second derivatives of a "
                f'real function are those by real and imaginary parts, as of '
                f'lambda a, b: f(torch.complex(a, b)); of a holomorphic one, take '
                f'jacobian(..., holomorphic=True) twice\n{x.location}'
            )
            raise NonDifferentiableError(msg)


def _is_scalar(node: Node) -> bool:
    return node.type is not None and node.type.shape == ()


def _rows(y: Node, xs: Sequence[Node], *, nan_safe: bool) -> list[Node]:
    """Return the Jacobians of ``y``, a row at a time: the pullbacks of all unit cotangents."""
    seed = ones_like(y) if _is_scalar(y) else variable_like(y, 'ct')
    pulled = cotangents({y: seed}, xs, nan_safe=nan_safe)
    found = pulled if _is_scalar(y) else _rows_of(pulled, seed, basis(y))
    if _is_complex(y) and not all(_is_complex(x) for x in xs):
        # Of the pullback to something real, the cotangent i takes the imaginary part out.
        other = 1j * ones_like(y) if _is_scalar(y) else variable_like(y, 'ct')
        pulled = cotangents({y: other}, xs, nan_safe=nan_safe)
        others = pulled if _is_scalar(y) else _rows_of(pulled, other, 1j * basis(y))
    else:
        others = found
    rows: list[Node] = []
    for x, real, imag in zip(xs, found, others, strict=True):
        if real is None or imag is None:
            rows.append(zeros_between(y, x))
            continue
        row = real
        if _is_complex(y):
            row = conj(real) if _is_complex(x) else real + 1j * imag
        rows.append(row if _is_scalar(y) else split_axis(row, y))
    return rows


def _columns(ys: Sequence[Node], x: Node, *, nan_safe: bool) -> list[Node]:
    """Return the Jacobians by ``x``, a column at a time: the pushforwards of all unit tangents."""
    seed = ones_like(x) if _is_scalar(x) else variable_like(x, 't')
    pushed = pushforward(ys, {x: seed}, nan_safe=nan_safe)
    found = pushed if _is_scalar(x) else _rows_of(pushed, seed, basis(x))
    return [
        zeros_between(y, x) if t is None else t if _is_scalar(x) else split_axis(t, x, True)
        for y, t in zip(ys, found, strict=True)
    ]


def _rows_of(nodes: Sequence[Node | None], seed: Node, units: Node) -> list[Node | None]:
    """Return what flows for each unit seed, along a first axis."""
    flowing = {node: None for node in nodes if node is not None}
    found = dict(zip(flowing, batched(list(flowing), {seed: units}, randomness='same'), strict=True))
    return [
        None if node is None else spread(node, units) if (batch := found[node]) is None else batch
        for node in nodes
    ]


def hessians(output_node: Node, nodes: Sequence[Node], *, nan_safe: bool = True) -> list[list[Node]]:
    """Return the second derivatives of a node with respect to pairs of others, forward over reverse.

    Parameters
    ----------
    output_node : Node
        What is differentiated: a scalar, or else the sum of its entries.
    nodes : sequence of Node
        What it is differentiated by.
    nan_safe : bool
        As for :func:`gradients`.

    Returns
    -------
    list of list of Node
        At ``[i][j]`` the derivative by ``nodes[i]`` and ``nodes[j]``, with the axes of the first followed by
        those of the second.

    Raises
    ------
    TensorTypeError, NonDifferentiableError
        As for :func:`gradients`; a node is complex.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> ((H,),) = ad.hessians(ad.sum(x ** 3), [x])
    >>> ad.Evaluator([H]).run({x: torch.tensor([1.0, 2.0])})
    [tensor([[ 6.,  0.],
            [ 0., 12.]])]
    """
    _, wanted = checked('hessians', output_node, nodes)
    refuse_complex(wanted)
    first = gradients(output_node, wanted, nan_safe=nan_safe)
    return jacobian_blocks(first, wanted, 'forward', holomorphic=False, nan_safe=nan_safe)


def hessian_products(
    output_node: Node,
    nodes: Sequence[Node],
    tangents: Sequence[Operand | None],
    *,
    nan_safe: bool = True,
) -> list[Node]:
    """Return the second derivative of a node times a vector, forward over reverse.

    Parameters
    ----------
    output_node : Node
        What is differentiated: a scalar, or else the sum of its entries.
    nodes : sequence of Node
        What it is differentiated by.
    tangents : sequence of Node, torch.Tensor, number or None
        The vector: one part for each of ``nodes``, of its shape; ``None`` for zeros.
    nan_safe : bool
        As for :func:`gradients`.

    Returns
    -------
    list of Node
        One part of the product for each of ``nodes``, of its shape.

    Raises
    ------
    TensorTypeError, ShapeError
        The tangents do not fit.
    NonDifferentiableError
        As for :func:`gradients`.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> product, = ad.hessian_products(ad.sum(x ** 3), [x], [torch.tensor([1.0, -1.0])])
    >>> ad.Evaluator([product]).run({x: torch.tensor([1.0, 2.0])})
    [tensor([  6., -12.])]
    """
    _, wanted = checked('hessian_products', output_node, nodes)
    if len(tangents) != len(wanted):
        msg = (
            f'there are {len(wanted)} nodes and {len(tangents)} tangents: give one for each, or None'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    moving = {
        x: as_node(fitting(t, x.type, f"the tangent of '{x}'", f"'{x}'"), 'tangents')
        for x, t in zip(wanted, tangents, strict=True)
        if t is not None
    }
    moved = pushforward(gradients(output_node, wanted, nan_safe=nan_safe), moving, nan_safe=nan_safe)
    return [zeros_like(x) if t is None else t for x, t in zip(wanted, moved, strict=True)]
