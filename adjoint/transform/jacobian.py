"""``jacobian`` and ``hessian``: all first and all second derivatives of a plain Python function."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import optree

from adjoint.autodiff.gradients import gradients
from adjoint.autodiff.jacobians import Mode, jacobian_blocks, refuse_complex
from adjoint.autodiff.sparse import SparseDerivative, sparse_hessian, sparse_jacobian
from adjoint.core.node import Node
from adjoint.ops.creation import placeholder
from adjoint.transform.returned import outputs_in, scalar_in
from adjoint.transform.staged import ByArguments, Switches
from adjoint.transform.trace import Arguments

__all__ = ['Jacobian', 'hessian', 'jacfwd', 'jacobian', 'jacrev']


class Jacobian(ByArguments):
    """A function that returns the Jacobian of another one; made by ``jacobian`` and ``hessian``."""

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: int | Sequence[int],
        mode: Mode | None,
        *,
        has_aux: bool,
        holomorphic: bool,
        sparse: bool = False,
        **switches: Unpack[Switches],
    ) -> None:
        super().__init__(function, argnums, has_aux=has_aux, **switches)
        self._mode: Mode | None = mode
        self._sparse = sparse
        self._holomorphic = holomorphic

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        returned, rest = self._returned(arguments, leaves)
        ys, structure = outputs_in(returned, self._name)
        xs = self._wanted(arguments, leaves)
        if self._sparse:
            blocks = [[self._entries(y, x, leaves) for x in xs] for y in ys]
        else:
            blocks = jacobian_blocks(
                ys, xs, self._mode, holomorphic=self._holomorphic, nan_safe=self._nan_safe
            )
        result = optree.tree_unflatten(structure, [self._arranged(arguments, row) for row in blocks])
        return (result, rest) if self._has_aux else result

    def _entries(self, y: Node, x: Node, leaves: Sequence[Any]) -> Node:
        """Return the Jacobian of a node by the entries of its pattern."""
        return _placed(sparse_jacobian(y, x, self._mode, nan_safe=self._nan_safe), leaves)


def jacobian(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    mode: Mode | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    sparse: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Jacobian:
    """Return a function that gives the Jacobian of a function: all derivatives of all entries.

    Parameters
    ----------
    function : callable
        As for :func:`grad`, except that it returns tensors of any shapes, in any structure.
    argnums : int or sequence of int
        The positional arguments to differentiate by.
    mode : {'forward', 'reverse'}, optional
        One pass for each entry of the arguments, or one for each entry of what the function returns. They
        run as one batch. By default what takes fewer passes.
    has_aux : bool
        Whether the function returns a pair of its value and anything else; the result is then a pair too.
    holomorphic : bool
        That a function from complex to complex tensors is holomorphic, so that its derivative is one
        complex number.
    sparse : bool
        Whether the result is made of sparse tensors (COO), from as few passes as the colours of the pattern
        of what can be other than zero; see :func:`sparse_jacobian`. Of real tensors only. Inside of another
        transform the result is dense.
    nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    Jacobian
        With the parameters of ``function``. In the place of each tensor that the function returns stands
        the structure of the argument, for several ``argnums`` a tuple of them, whose tensors have the axes of
        the output followed by those of the input.

    Raises
    ------
    TensorTypeError, NonDifferentiableError
        When it is called: something is not floating or complex; or a complex function is not said to be
        holomorphic.

    Notes
    -----
    Of a real output by a complex argument, each row is a gradient by torch's convention, ready for descent.
    Of a complex output by a real argument, an entry is the derivative of its real part, plus i times that
    of its imaginary part.

    Examples
    --------
    >>> import torch
    >>> jacobian(lambda x, a: {'y': a * x ** 2})(torch.tensor([1.0, 2.0]), 3.0)
    {'y': tensor([[ 6.,  0.],
            [ 0., 12.]])}
    """
    switches: Switches = {'nan_safe': nan_safe, 'stabilize': stabilize}
    return Jacobian(
        function, argnums, mode, has_aux=has_aux, holomorphic=holomorphic, sparse=sparse, **switches
    )


def jacfwd(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Jacobian:
    """Return ``jacobian(function, argnums, mode='forward')``, by the name that torch and JAX give it."""
    switches: Switches = {'nan_safe': nan_safe, 'stabilize': stabilize}
    return Jacobian(function, argnums, 'forward', has_aux=has_aux, holomorphic=holomorphic, **switches)


def jacrev(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Jacobian:
    """Return ``jacobian(function, argnums, mode='reverse')``, by the name that torch and JAX give it."""
    switches: Switches = {'nan_safe': nan_safe, 'stabilize': stabilize}
    return Jacobian(function, argnums, 'reverse', has_aux=has_aux, holomorphic=holomorphic, **switches)


def hessian(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    sparse: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Jacobian:
    """Return a function that gives all second derivatives of a function, forward over reverse.

    Parameters
    ----------
    function, argnums, has_aux
        As for :func:`jacobian`; most often the function returns one scalar.
    sparse : bool
        Whether the result is made of sparse tensors (COO), by the symmetry of the pattern; see
        :func:`sparse_hessian`. The function has to return one real scalar.
    nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    Jacobian
        With the parameters of ``function``. For a scalar function of one tensor a tensor with its axes
        twice; otherwise, in the place of each tensor that the function returns, the structure of the
        arguments, and in the place of each tensor of it the structure of the arguments again.

    Raises
    ------
    TensorTypeError, NonDifferentiableError
        As for :func:`jacobian`.

    Examples
    --------
    >>> import torch
    >>> hessian(lambda x: torch.prod(x) ** 2)(torch.tensor([1.0, 2.0]))
    tensor([[8., 8.],
            [8., 2.]])
    """
    switches: Switches = {'nan_safe': nan_safe, 'stabilize': stabilize}
    if sparse:
        return SparseHessian(function, argnums, None, has_aux=has_aux, holomorphic=False, **switches)
    first = Jacobian(function, argnums, 'reverse', has_aux=has_aux, holomorphic=False, **switches)
    return _OfGradient(first, argnums, 'forward', has_aux=has_aux, holomorphic=False, **switches)


class _OfGradient(Jacobian):
    """The Jacobian of a gradient: a Hessian, which is one by real numbers."""

    def _wanted(self, arguments: Arguments, leaves: list[Any]) -> list[Node]:
        wanted = super()._wanted(arguments, leaves)
        refuse_complex(wanted)
        return wanted


def _placed(found: SparseDerivative, leaves: Sequence[Any]) -> Node:
    """Return the entries in their places: in a sparse tensor, or in a graph that goes on in a dense one."""
    is_result = all(leaf.op is placeholder for leaf in leaves if isinstance(leaf, Node))
    return found.tensor if is_result else found.dense


class SparseHessian(Jacobian):
    """A function that returns the Hessian of a scalar function by sparse tensors."""

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        returned, rest = self._returned(arguments, leaves)
        y = scalar_in(returned, self._name)
        xs = self._wanted(arguments, leaves)
        safe = self._nan_safe
        rows = [
            [
                _placed(sparse_hessian(y, a, nan_safe=safe), leaves)
                if a is b
                else self._entries(g, b, leaves)
                for b in xs
            ]
            for a, g in zip(xs, gradients(y, xs, nan_safe=safe), strict=True)
        ]
        result = self._arranged(arguments, [self._arranged(arguments, row) for row in rows])
        return (result, rest) if self._has_aux else result
