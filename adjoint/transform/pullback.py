"""``vjp`` and ``linearize``: the derivative at a point, as a linear function."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Unpack

import optree

from adjoint.autodiff.forward import pushforward
from adjoint.core.node import Node
from adjoint.ops.body import Body, variable_like
from adjoint.transform.linear import LinearFunction, or_zeros, pulled
from adjoint.transform.returned import outputs_in, pair_in
from adjoint.transform.staged import Switches, Transform
from adjoint.transform.trace import Arguments

__all__ = ['linearize', 'vjp']


class _AtPoint(Transform):
    """A function that returns the value, and the derivative there as a linear function."""

    def __init__(self, function: Callable[..., Any], *, has_aux: bool, **switches: Unpack[Switches]) -> None:
        super().__init__(function, **switches)
        self._has_aux = has_aux

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the value and the derivative; with ``has_aux``, what the function returned beside too."""
        value, linear, residuals, rest = super().__call__(*args, **kwargs)
        return (value, linear.at(residuals), rest) if self._has_aux else (value, linear.at(residuals))

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        arguments = Arguments.of(args, kwargs, self._function)
        return arguments.differentiated(range(_count(arguments)))

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        args, kwargs = arguments.unflattened(leaves)
        returned = self._function(*args, **kwargs)
        returned, rest = pair_in(returned, self._name) if self._has_aux else (returned, None)
        ys, structure = outputs_in(returned, self._name)
        domain = optree.treespec_tuple(arguments.specs)
        linear, residuals = self._linear(leaves[: _count(arguments)], domain, ys, structure)
        return optree.tree_unflatten(structure, ys), linear, residuals, rest

    @abstractmethod
    def _linear(
        self, xs: list[Node], domain: optree.PyTreeSpec, ys: list[Node], codomain: optree.PyTreeSpec
    ) -> tuple[LinearFunction, list[Node]]:
        """Return the derivative of ``ys`` by ``xs`` without its residuals, and these."""


class _Pullback(_AtPoint):
    def _linear(
        self, xs: list[Node], domain: optree.PyTreeSpec, ys: list[Node], codomain: optree.PyTreeSpec
    ) -> tuple[LinearFunction, list[Node]]:
        cts = [variable_like(y, f'ct{i}' if len(ys) > 1 else 'ct') for i, y in enumerate(ys)]
        body, residuals = Body.closed(cts, pulled(ys, cts, xs, nan_safe=self._nan_safe))
        what = f'the value of {self._name}'
        return LinearFunction(body, [], optree.treespec_tuple([codomain]), domain, what), residuals


class _Linearized(_AtPoint):
    def _linear(
        self, xs: list[Node], domain: optree.PyTreeSpec, ys: list[Node], codomain: optree.PyTreeSpec
    ) -> tuple[LinearFunction, list[Node]]:
        ts = [variable_like(x, f't{i}' if len(xs) > 1 else 't') for i, x in enumerate(xs)]
        moved = pushforward(ys, dict(zip(xs, ts, strict=True)), nan_safe=self._nan_safe)
        body, residuals = Body.closed(ts, or_zeros(moved, ys))
        what = f'the arguments of {self._name}'
        return LinearFunction(body, [], domain, codomain, what), residuals


def _count(arguments: Arguments) -> int:
    """Return how many leaves the positional arguments have."""
    return sum(spec.num_leaves for spec in arguments.specs)


def vjp(
    function: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Any:
    """Return the value of a function, and its pullback: the product of a vector with the Jacobian.

    Parameters
    ----------
    function : callable
        As for :func:`grad`, except that it returns tensors of any shapes, in any structure.
    *primals
        The arguments: floating or complex tensors, in any structure. Without any, a function of them is
        returned, which traces ``function`` once for each signature; it takes keywords too, which are not
        differentiated by.
    has_aux : bool
        Whether the function returns a pair of its value and anything else.
    nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    value
        In the structure that the function returned.
    pullback : LinearFunction
        Takes cotangents in the structure of the value, and returns a tuple with one entry for each of
        ``primals``, in its structure. What it needs of the primals was computed once.
    auxiliary
        With ``has_aux``.

    Raises
    ------
    TensorTypeError, NonDifferentiableError
        An argument or a part of the value is no floating or complex tensor.

    Notes
    -----
    Complex cotangents follow torch's convention: the pullback is the adjoint in the real inner product.

    Examples
    --------
    >>> import torch
    >>> value, pullback = vjp(lambda x, y: torch.outer(x, y), torch.ones(2), torch.tensor([3.0, 4.0]))
    >>> pullback(torch.eye(2))
    (tensor([3., 4.]), tensor([1., 1.]))
    """
    transform = _Pullback(function, has_aux=has_aux, nan_safe=nan_safe, stabilize=stabilize)
    return transform(*primals) if primals else transform


def linearize(
    function: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Any:
    """Return the value of a function, and its derivative as a linear function of tangents.

    Parameters
    ----------
    function, *primals, has_aux, nan_safe, stabilize
        As for :func:`vjp`.

    Returns
    -------
    value
        In the structure that the function returned.
    pushforward : LinearFunction
        Takes a tangent for each of ``primals``, in its structure, and returns the tangent of the value.
        Its graph is traced once, and what it needs of the primals was computed once: each call runs what
        depends on the tangents, and nothing else.
    auxiliary
        With ``has_aux``.

    Raises
    ------
    TensorTypeError, NonDifferentiableError
        An argument or a part of the value is no floating or complex tensor.

    Examples
    --------
    >>> import torch
    >>> value, along = linearize(torch.sin, torch.tensor(0.0))
    >>> along(1.0), along(2.0)
    (tensor(1.), tensor(2.))
    """
    transform = _Linearized(function, has_aux=has_aux, nan_safe=nan_safe, stabilize=stabilize)
    return transform(*primals) if primals else transform
