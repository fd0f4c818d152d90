"""Derivatives of high order: power series, n-th derivatives, Laplacians, mixed partial derivatives."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Unpack, cast

import optree
import torch

from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.collapse import summed
from adjoint.autodiff.seeds import fitting
from adjoint.autodiff.taylor import taylor
from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described
from adjoint.ops.body import variable_like
from adjoint.ops.creation import constant, ones_like
from adjoint.ops.shape import stack
from adjoint.transform.linear import or_zeros
from adjoint.transform.returned import outputs_in
from adjoint.transform.staged import ByArguments, Switches, Transform
from adjoint.transform.trace import Arguments

__all__ = ['derivative', 'directional', 'jet', 'laplacian']


class _Jet(Transform):
    """A function of primals and their coefficients."""

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        primals, series = args
        for what, given in (('primals', primals), ('series', series)):
            if not isinstance(given, (tuple, list)):
                msg = (
                    f'{what} are a tuple with one entry for each argument of {self._name}, and got '
                    f'{described(given)}'
                )
                raise TensorTypeError(msg)
        if len(primals) != len(series):
            msg = f'{self._name} was given {len(primals)} primals and {len(series)} series'
            raise TensorTypeError(msg)
        for position, own in enumerate(series):
            if own is not None and not isinstance(own, (tuple, list)):
                msg = (
                    f'series[{position}] is a tuple of the coefficients (x1, x2, ...) of primal {position} '
                    f'of {self._name}, or None where it is held fixed, and got {described(own)}: write '
                    f'(x1,) for a single one'
                )
                raise TensorTypeError(msg)
        whole = Arguments.of((tuple(primals), tuple(series)), {}, self._function)
        count = whole.specs[0].num_leaves
        # A number in a series gets the dtype of its primal, which is known when the graph is built.
        return whole.differentiated(
            i for i, leaf in enumerate(whole.leaves[:count]) if isinstance(leaf, (float, complex))
        )

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        (primals, series), _ = arguments.unflattened(leaves)
        given: dict[Node, list[Node | None]] = {}
        order = 0
        for position, (primal, own) in enumerate(zip(primals, series, strict=True)):
            structure = optree.tree_structure(primal)
            order = max(order, len(own or ()))
            for k, coefficient in enumerate(own or (), start=1):
                aligned = self._aligned(structure, coefficient)
                for x, c in zip(optree.tree_leaves(primal), aligned, strict=True):
                    if isinstance(x, Node):
                        name = f'coefficient {k} of primal {position} of {self._name}'
                        fits = None if c is None else as_node(fitting(c, x.type, name, 'the primal'), 'jet')
                        given.setdefault(x, []).append(fits)
        ys, structure = outputs_in(self._function(*primals), self._name)
        found = [or_zeros(cs, [y] * order) for y, cs in zip(ys, taylor(ys, given, order), strict=True)]
        by_order = [optree.tree_unflatten(structure, [cs[k] for cs in found]) for k in range(order)]
        return optree.tree_unflatten(structure, ys), by_order

    def _aligned(self, structure: optree.PyTreeSpec, coefficient: Any) -> list[Any]:
        if coefficient is None:
            return [None] * structure.num_leaves
        try:
            return structure.flatten_up_to(coefficient)
        except ValueError as error:
            msg = f'a coefficient has another structure than its primal of {self._name}: {error}'
            raise TensorTypeError(msg) from None


class _OfOrder(ByArguments):
    """The n-th derivative along ones."""

    def __init__(
        self,
        function: Callable[..., Any],
        order: int,
        argnums: int | Sequence[int],
        **switches: Unpack[Switches],
    ) -> None:
        super().__init__(function, argnums, has_aux=False, **switches)
        self._order = order

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        returned, _ = self._returned(arguments, leaves)
        ys, structure = outputs_in(returned, self._name)
        if self._order == 0:
            return optree.tree_unflatten(structure, ys)
        moving = {x: [ones_like(x)] for x in self._wanted(arguments, leaves)}
        found = or_zeros([cs[-1] for cs in taylor(ys, moving, self._order)], ys)
        factor = math.factorial(self._order)
        scaled = found if factor == 1 else [c * factor for c in found]
        return optree.tree_unflatten(structure, scaled)


class _Laplacian(ByArguments):
    """The sum of the second derivatives by each entry."""

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        returned, _ = self._returned(arguments, leaves)
        ys, structure = outputs_in(returned, self._name)
        totals: list[Node | None] = [None] * len(ys)
        for x in self._wanted(arguments, leaves):
            v = variable_like(x, 'v')
            second = [cs[1] for cs in taylor(ys, {x: [v]}, 2)]
            basis = torch.eye(x.numel(), dtype=x.dtype, device=x.type.device if x.type else None)
            units = constant(basis.reshape(x.numel(), *x.shape))
            sums = iter(summed([c for c in second if c is not None], {v: units}))
            for i, c in enumerate(second):
                part = None if c is None else next(sums)
                if part is not None:
                    total = totals[i]
                    totals[i] = part if total is None else total + part
        found = [None if total is None else total * 2 for total in totals]
        return optree.tree_unflatten(structure, or_zeros(found, ys))


class _Directional(Transform):
    """A function of a primal and directions: its derivative along all of them."""

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        primal, directions = args
        if not isinstance(directions, (tuple, list)):
            msg = (
                f'directions are a tuple of tensors, one for each derivative, and got {described(directions)}'
            )
            raise TensorTypeError(msg)
        given = tuple(cast('Sequence[Any]', directions))
        whole = Arguments.of((primal, given), {}, self._function)
        if len(whole.leaves) != len(given) + 1:
            msg = f'the primal and each direction of {self._name} is one tensor'
            raise TensorTypeError(msg)
        return whole.differentiated(range(len(whole.leaves)))

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        x, *given = leaves
        directions = [
            as_node(fitting(d, x.type, f'direction {i} of {self._name}', 'the primal'), 'directional')
            for i, d in enumerate(given)
        ]
        ys, structure = outputs_in(self._function(x), self._name)
        order = len(directions)
        if order == 0:
            return optree.tree_unflatten(structure, ys)
        v = variable_like(x, 'v')
        highest = [cs[-1] for cs in taylor(ys, {x: [v]}, order)]
        # The first sign is fixed: a path and its mirror image have the same product.
        signs = [(1, *rest) for rest in product((1, -1), repeat=order - 1)]
        paths = stack([_combined(directions, own) for own in signs])
        parts = iter(batched([c for c in highest if c is not None], {v: paths}))
        weights = [math.prod(own) for own in signs]
        found: list[Node | None] = []
        for c in highest:
            part = None if c is None else next(parts)
            each = [] if part is None else [part[i] for i in range(len(signs))]
            found.append(_combined(each, weights) / 2 ** (order - 1) if each else None)
        return optree.tree_unflatten(structure, or_zeros(found, ys))


def _combined(nodes: Sequence[Node], signs: Sequence[int]) -> Node:
    total: Node | None = None
    for node, sign in zip(nodes, signs, strict=True):
        if total is None:
            total = node if sign == 1 else -node
        else:
            total = total + node if sign == 1 else total - node
    assert total is not None  # noqa: S101 there is a direction
    return total


def jet(
    function: Callable[..., Any], primals: Sequence[Any], series: Sequence[Any], *, stabilize: bool = True
) -> Any:
    """Return the power series of a function along power series of its arguments.

    Where an argument moves along ``x + x1*t + x2*t**2 + ...``, the result moves along
    ``y + y1*t + y2*t**2 + ...``.

    Parameters
    ----------
    function : callable
        As for :func:`jvp`.
    primals : sequence
        The arguments.
    series : sequence
        For each argument its coefficients ``(x1, x2, ...)``, each in the structure of the argument. ``None``
        stands for a coefficient that is zero, and for the whole series of what is held fixed.
    stabilize
        As for :func:`grad`.

    Returns
    -------
    value
        What the function returns.
    coefficients : list
        ``[y1, y2, ...]``, each in the structure of the value, as many as in the longest series.

    Raises
    ------
    TensorTypeError, ShapeError
        A coefficient does not fit its primal.

    Notes
    -----
    The coefficients are those of the powers of ``t``: the k-th derivative by ``t`` is ``k!`` times the k-th.

    Examples
    --------
    >>> import torch
    >>> value, (first, second) = jet(torch.exp, (torch.tensor(0.0),), ((torch.tensor(1.0), None),))
    >>> value, first, second
    (tensor(1.), tensor(1.), tensor(0.5000))
    """
    return _Jet(function, stabilize=stabilize)(primals, series)


def derivative(
    function: Callable[..., Any],
    order: int = 1,
    argnums: int | Sequence[int] = 0,
    *,
    stabilize: bool = True,
) -> Transform:
    """Return a function that gives the n-th derivative of another one, by Taylor mode.

    Parameters
    ----------
    function : callable
        As for :func:`jvp`; most often of one number, or entry by entry.
    order : int
        How often it is differentiated.
    argnums : int or sequence of int
        The positional arguments to differentiate by.
    stabilize
        As for :func:`grad`.

    Returns
    -------
    callable
        With the parameters of ``function``. It returns the derivative by ``t`` of ``function(x + t)``, in the
        structure of what the function returns: of a function that works entry by entry, the derivative at
        each entry.

    Raises
    ------
    TensorTypeError
        The order is no whole number of 0 or more.

    Examples
    --------
    >>> import torch
    >>> derivative(torch.sin, 3)(torch.tensor([0.0, 1.0]))
    tensor([-1.0000, -0.5403])
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
        msg = (
            f'order, of derivative, is a whole number of 0 or more, and got {described(order)}: what is '
            f'differentiated by goes into argnums, by position\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    return _OfOrder(function, order, argnums, stabilize=stabilize)


def laplacian(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, stabilize: bool = True
) -> Transform:
    """Return a function that gives the Laplacian of another one: the trace of its Hessian.

    Parameters
    ----------
    function : callable
        As for :func:`jvp`: it may return tensors of any shapes.
    argnums : int or sequence of int
        The positional arguments to differentiate by.
    stabilize
        As for :func:`grad`.

    Returns
    -------
    callable
        With the parameters of ``function``. It returns the sum of the second derivatives by each entry of the
        arguments, in the structure and the shapes of what the function returns.

    Raises
    ------
    TensorTypeError
        The size of an argument is not known.

    Notes
    -----
    The second coefficients of the power series along all axes are summed before every linear map, not behind
    the last: besides the value and all first derivatives, one more value is carried through the function. No
    Hessian is formed.

    Examples
    --------
    >>> import torch
    >>> laplacian(lambda x: (x ** 3).sum())(torch.tensor([1.0, 2.0]))
    tensor(18.)
    """
    return _Laplacian(function, argnums, has_aux=False, stabilize=stabilize)


def directional(
    function: Callable[..., Any], primal: Any, directions: Sequence[Any], *, stabilize: bool = True
) -> Any:
    """Return the derivative of a function along several directions, one after the other.

    Parameters
    ----------
    function : callable
        As for :func:`jvp`, of one tensor.
    primal : tensor or node
        Where it is differentiated.
    directions : sequence
        Tensors of the shape of the primal; unit vectors give a mixed partial derivative, such as
        ``d3f / dx0 dx0 dx1`` for three of them.
    stabilize
        As for :func:`grad`.

    Returns
    -------
    tensor
        In the structure and the shapes of what the function returns.

    Raises
    ------
    TensorTypeError, ShapeError
        A direction does not fit the primal.

    Notes
    -----
    With n directions it is made of the n-th coefficients along ``2**(n - 1)`` straight paths, their sums and
    differences (polarisation).

    Examples
    --------
    >>> import torch
    >>> x, y = torch.eye(2)
    >>> directional(lambda p: p[0] ** 2 * p[1] ** 3, torch.tensor([1.0, 2.0]), (x, x, y))
    tensor(24.)
    """
    return _Directional(function, stabilize=stabilize)(primal, directions)
