"""``grad`` and ``value_and_grad``: the derivative of a plain Python function, through its graph."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from adjoint.autodiff.gradients import gradients
from adjoint.transform.returned import scalar_in
from adjoint.transform.staged import ByArguments, Switches
from adjoint.transform.trace import Arguments

__all__ = ['Derivative', 'grad', 'value_and_grad']


class Derivative(ByArguments):
    """A function that returns the gradient of another one; made by ``grad`` and ``value_and_grad``."""

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: int | Sequence[int],
        *,
        has_aux: bool,
        with_value: bool,
        **switches: Unpack[Switches],
    ) -> None:
        super().__init__(function, argnums, has_aux=has_aux, **switches)
        self._with_value = with_value

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        returned, rest = self._returned(arguments, leaves)
        value = scalar_in(returned, self._name)
        flat = gradients(value, self._wanted(arguments, leaves), nan_safe=self._nan_safe)
        found = self._arranged(arguments, flat)
        if self._with_value:
            return ((value, rest), found) if self._has_aux else (value, found)
        return (found, rest) if self._has_aux else found


def grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Derivative:
    """Return a function that gives the gradient of a scalar function.

    Parameters
    ----------
    function : callable
        Takes tensors, in nested tuples, lists and dicts if you like, and anything hashable; returns one
        scalar. It is called with nodes in the place of the tensors, and may use operators, functions of
        torch, tensor methods and the ops of adjoint on them.
    argnums : int or sequence of int
        The positional arguments to differentiate by.
    has_aux : bool
        Whether the function returns a pair of its value and anything else; the result is then a pair too.
    nan_safe : bool
        Whether a cotangent or tangent that is known to be zero stays zero where a derivative is infinite
        or nan, as for :func:`gradients`.
    stabilize : bool
        Whether the function is taken in a form that does not overflow, underflow or cancel where it need
        not, as :func:`stabilize` gives it; otherwise as it is written. A transform inside has its own.

    Returns
    -------
    Derivative
        With the parameters of ``function``. It returns the gradient in the structure of the argument,
        for several ``argnums`` a tuple of them.

    Raises
    ------
    TensorTypeError, ShapeError, NonDifferentiableError
        When it is called: an argument or the result is none that can be differentiated.

    Notes
    -----
    The graph is built once for every signature: structure, shapes, dtypes, devices, and the values of
    arguments that are no tensors. Python control flow in the function is followed while it is built.

    Examples
    --------
    >>> import torch
    >>> def energy(state):
    ...     return torch.sum(state['x'] ** 2) * state['k'] / 2
    >>> grad(energy)({'x': torch.tensor([1.0, 2.0]), 'k': torch.tensor(3.0)})
    {'x': tensor([3., 6.]), 'k': tensor(2.5000)}
    >>> grad(grad(torch.sin))(torch.tensor(0.5))
    tensor(-0.4794)
    """
    switches: Switches = {'nan_safe': nan_safe, 'stabilize': stabilize}
    return Derivative(function, argnums, has_aux=has_aux, with_value=False, **switches)


def value_and_grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    nan_safe: bool = True,
    stabilize: bool = True,
) -> Derivative:
    """Return a function that gives the value of a scalar function together with its gradient.

    Parameters
    ----------
    function, argnums, has_aux, nan_safe, stabilize
        As for :func:`grad`.

    Returns
    -------
    Derivative
        It returns the pair ``(value, gradient)``; with ``has_aux``, ``((value, auxiliary), gradient)``.

    Examples
    --------
    >>> import torch
    >>> value_and_grad(lambda x: (x * x).sum())(torch.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    switches: Switches = {'nan_safe': nan_safe, 'stabilize': stabilize}
    return Derivative(function, argnums, has_aux=has_aux, with_value=True, **switches)
