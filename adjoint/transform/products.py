"""Products with derivatives that are never written out: ``jvp``, ``hvp``, ``ggnvp``."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import optree

from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.gradients import gradients
from adjoint.autodiff.seeds import fitting
from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described
from adjoint.ops.linear import alias
from adjoint.transform.linear import or_zeros, pulled
from adjoint.transform.returned import name_of, outputs_in, pair_in, scalar_in
from adjoint.transform.staged import Switches, Transform
from adjoint.transform.trace import Arguments, type_of_value

__all__ = ['ggnvp', 'hvp', 'jvp']


class _Along(Transform):
    """A function of primals and their tangents; what has no tangent is held fixed."""

    def __call__(self, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        """Return the derivative at the primals along the tangents."""
        return super().__call__(primals, tangents)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        primals, tangents = args
        for what, given in (('primals', primals), ('tangents', tangents)):
            if not isinstance(given, (tuple, list)):
                msg = (
                    f'{what} are a tuple with one entry for each argument of {self._name}, and got '
                    f'{described(given)}'
                )
                raise TensorTypeError(msg)
        if len(primals) != len(tangents):
            msg = f'{self._name} was given {len(primals)} primals and {len(tangents)} tangents'
            raise TensorTypeError(msg)
        own = Arguments.of(tuple(primals), {}, self._function)
        aligned: Any = []
        for i, (primal, tangent) in enumerate(zip(primals, tangents, strict=True)):
            aligned += self._aligned(primal, tangent, i)
        moving = [i for i, t in enumerate(aligned) if t is not None]
        own = own.differentiated(moving)
        for i in moving:
            x, path = own.leaves[i], own.paths[i]
            known = x.type if isinstance(x, Node) else type_of_value(x)
            aligned[i] = fitting(aligned[i], known, f'the tangent of {path}', path)
        structure = optree.treespec_tuple([own.structure, optree.tree_structure(aligned)])
        leaves = [*own.leaves, *(aligned[i] for i in moving)]
        return Arguments(leaves, structure, [*own.paths, *(f't_{own.paths[i]}' for i in moving)])

    def _aligned(self, primal: Any, tangent: Any, position: int) -> list[Any]:
        """Return a tangent, or ``None``, for each leaf of a primal."""
        structure = optree.tree_structure(primal)
        if tangent is None:
            return [None] * structure.num_leaves
        try:
            return structure.flatten_up_to(tangent)
        except ValueError as error:
            msg = (
                f'tangent {position} has another structure than primal {position} of {self._name}: {error}; '
                f'None stands for the tangent of what is held fixed'
            )
            raise TensorTypeError(msg) from None

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        (args, _), tangents = arguments.unflattened(leaves)
        xs = leaves[: len(tangents)]
        moving = {x: t for x, t in zip(xs, tangents, strict=True) if t is not None}
        return self._moved(args, xs, moving)

    @abstractmethod
    def _moved(self, args: tuple[Any, ...], xs: list[Any], tangents: dict[Node, Node]) -> Any:
        """Return the result from the arguments, their leaves, and the tangents of some of these."""


class _Pushforward(_Along):
    def __init__(self, function: Callable[..., Any], *, has_aux: bool, **switches: Unpack[Switches]) -> None:
        super().__init__(function, **switches)
        self._has_aux = has_aux

    def _moved(self, args: tuple[Any, ...], xs: list[Any], tangents: dict[Node, Node]) -> Any:
        returned = self._function(*args)
        returned, rest = pair_in(returned, self._name) if self._has_aux else (returned, None)
        ys, structure = outputs_in(returned, self._name)
        moved = or_zeros(pushforward(ys, tangents, nan_safe=self._nan_safe), ys)
        value, tangent = (optree.tree_unflatten(structure, nodes) for nodes in (ys, moved))
        return (value, tangent, rest) if self._has_aux else (value, tangent)


class _HessianProduct(_Along):
    def _moved(self, args: tuple[Any, ...], xs: list[Any], tangents: dict[Node, Node]) -> Any:
        value = scalar_in(self._function(*args), self._name)
        first = gradients(value, list(tangents), nan_safe=self._nan_safe)
        moved = or_zeros(pushforward(first, tangents, nan_safe=self._nan_safe), list(tangents))
        return _arranged(args, xs, dict(zip(tangents, moved, strict=True)))


class _GaussNewtonProduct(_Along):
    def __init__(
        self, function: Callable[..., Any], loss: Callable[..., Any], **switches: Unpack[Switches]
    ) -> None:
        super().__init__(function, **switches)
        self._loss, self._loss_name = loss, name_of(loss)

    def _moved(self, args: tuple[Any, ...], xs: list[Any], tangents: dict[Node, Node]) -> Any:
        ys, structure = outputs_in(self._function(*args), self._name)
        # The loss sees aliases, so that its derivatives are those by the outputs and stop there.
        outputs = [alias(y) for y in ys]
        value = scalar_in(self._loss(optree.tree_unflatten(structure, outputs)), self._loss_name)
        moved = or_zeros(pushforward(ys, tangents, nan_safe=self._nan_safe), ys)
        first = gradients(value, outputs, nan_safe=self._nan_safe)
        along = dict(zip(outputs, moved, strict=True))
        second = or_zeros(pushforward(first, along, nan_safe=self._nan_safe), outputs)
        found = pulled(ys, second, list(tangents), nan_safe=self._nan_safe)
        return _arranged(args, xs, dict(zip(tangents, found, strict=True)))


def _arranged(args: Any, xs: list[Any], found: dict[Node, Node]) -> Any:
    """Return what was found for the arguments in their structure; ``None`` for what is held fixed."""
    leaves = [found.get(x) if isinstance(x, Node) else None for x in xs]
    return optree.tree_unflatten(optree.tree_structure(args), leaves)


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any] | None = None,
    tangents: Sequence[Any] | None = None,
    *,
    has_aux: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Any:
    """Return the value of a function and its derivative along tangents, in one pass forward.

    Parameters
    ----------
    function : callable
        As for :func:`grad`, except that it returns tensors of any shapes, in any structure.
    primals, tangents : sequence, optional
        The arguments, and a tangent for each, in its structure. ``None`` stands for the tangent of what
        is held fixed: an argument, or a part of one. Without both, a function of the two is returned,
        which traces ``function`` once for each signature.
    has_aux : bool
        Whether the function returns a pair of its value and anything else.
    nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    value, tangent
        In the structure that the function returned.
    auxiliary
        With ``has_aux``.

    Raises
    ------
    TensorTypeError, ShapeError
        A tangent does not fit its primal.
    NonDifferentiableError
        Something with a tangent, or a part of the value, is an integer or a boolean.

    Examples
    --------
    >>> import torch
    >>> jvp(lambda x, n: x ** n, (torch.tensor(2.0), 3), (torch.tensor(1.0), None))
    (tensor(8.), tensor(12.))
    """
    return _applied(
        _Pushforward(function, has_aux=has_aux, nan_safe=nan_safe, stabilize=stabilize), primals, tangents
    )


def hvp(
    function: Callable[..., Any],
    primals: Sequence[Any] | None = None,
    tangents: Sequence[Any] | None = None,
    *,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Any:
    """Return the Hessian of a scalar function times a vector, forward over reverse.

    Parameters
    ----------
    function : callable
        As for :func:`grad`: it returns one scalar.
    primals, tangents : sequence, optional
        As for :func:`jvp`.
    nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    tuple
        The product, with one entry for each of ``primals``, in its structure. What is held fixed has no
        tangent and no entry: ``None`` stands in both places, and the Hessian is that by the rest.

    Raises
    ------
    TensorTypeError, ShapeError, NonDifferentiableError
        As for :func:`jvp`; the function does not return a scalar.

    Notes
    -----
    It costs a few times what the gradient costs, whatever the number of parameters is.

    Examples
    --------
    >>> import torch
    >>> x, t = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0])
    >>> hvp(lambda x: torch.prod(x) ** 2, (x,), (t,))
    (tensor([8., 8.]),)
    """
    return _applied(_HessianProduct(function, nan_safe=nan_safe, stabilize=stabilize), primals, tangents)


def ggnvp(
    function: Callable[..., Any],
    loss: Callable[..., Any],
    primals: Sequence[Any] | None = None,
    tangents: Sequence[Any] | None = None,
    *,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Any:
    """Return the generalised Gauss-Newton matrix of ``loss(function(...))`` times a vector.

    That is ``Jᵀ H J t``, with ``J`` the Jacobian of the function and ``H`` the Hessian of the loss by what
    the function returns. It is the Hessian without the curvature of the function itself, and positive
    semi-definite where the loss is convex.

    Parameters
    ----------
    function : callable
        As for :func:`jvp`: it returns tensors of any shapes, in any structure.
    loss : callable
        Takes what the function returns; returns one scalar.
    primals, tangents : sequence, optional
        Arguments of the function, and tangents of them, as for :func:`jvp`.
    nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    tuple
        The product, as for :func:`hvp`.

    Raises
    ------
    TensorTypeError, ShapeError, NonDifferentiableError
        As for :func:`hvp`.

    References
    ----------
    N. N. Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", 2002.

    Examples
    --------
    >>> import torch
    >>> a, w, t = torch.tensor([[1.0, 2.0]]), torch.zeros(2), torch.tensor([1.0, 1.0])
    >>> ggnvp(lambda w: a @ w, lambda y: (y ** 2).sum(), (w,), (t,))
    (tensor([ 6., 12.]),)
    """
    return _applied(
        _GaussNewtonProduct(function, loss, nan_safe=nan_safe, stabilize=stabilize), primals, tangents
    )


def _applied(transform: _Along, primals: Sequence[Any] | None, tangents: Sequence[Any] | None) -> Any:
    """Return the function of primals and tangents, or its result where they are given."""
    if primals is None and tangents is None:
        return transform
    if primals is None or tangents is None:
        msg = (
            f'give primals and tangents, or neither to get a function of the two'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    return transform(primals, tangents)
