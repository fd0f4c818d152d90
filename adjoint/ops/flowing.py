"""Values that pass as they are, and change what flows back through them."""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch

from adjoint.core.errors import NonDifferentiableError, TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.core.tensor_type import TensorType
from adjoint.ops.distance import vector_norm
from adjoint.ops.linear import Linear
from adjoint.ops.select import clamp, maximum

__all__ = [
    'ClipGradient', 'ScaleGradient', 'clip_gradient', 'reverse_gradient', 'scale_gradient',
]  # fmt: skip


def _refuse(message: str) -> NoReturn:
    raise TensorTypeError(f'{message}\n{location_of(calling_site())}')


class ScaleGradient(Linear):
    """``x`` as it is; what flows through it is multiplied by ``factor``, in either mode.

    Notes
    -----
    The derivative is ``factor`` times the identity in forward mode too, so that both modes agree. It is not
    that of the value: differences see the identity.
    """

    def __call__(self, x: Operand, factor: float) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        factor : float
            Of the cotangents, and of the tangents.

        Raises
        ------
        TensorTypeError
            The factor is no real number.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> ad.grad(lambda x: ad.scale_gradient(x, 0.1) * x)(torch.tensor(10.0))
        tensor(11.)
        """
        if not isinstance(factor, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            _refuse(f'scale_gradient takes a real number as its factor, and got {factor!r}')
        return Node([as_node(x, self.name)], self, {'factor': factor})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return x

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (ct * node.attrs['factor'],)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else t * node.attrs['factor']


class ClipGradient(Op):
    """``x`` as it is; the cotangent that flows back through it is clipped, by its norm or entry by entry.

    Notes
    -----
    Clipping is not linear, so that it is the pullback of no function: forward mode through it is an error.
    Higher orders in reverse mode differentiate the clipping as well.
    """

    def __call__(
        self,
        x: Operand,
        max_norm: float | None = None,
        *,
        min: float | None = None,
        max: float | None = None,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        max_norm : float, optional
            A cotangent of a larger Euclidean norm, over all of its entries, is scaled down to it.
        min, max : float, optional
            Bounds of the entries of the cotangent, as for ``clamp``; of real tensors.

        Raises
        ------
        TensorTypeError
            There is no bound, both a norm and bounds, or a norm that is not positive.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> x = torch.tensor([3.0, 4.0])
        >>> ad.grad(lambda x: (ad.clip_gradient(x, 1.0) ** 2).sum())(x)
        tensor([0.6000, 0.8000])
        >>> ad.grad(lambda x: (ad.clip_gradient(x, max=7.0) ** 2).sum())(x)
        tensor([6., 7.])
        """
        if (max_norm is None) == (min is None and max is None):
            _refuse('clip_gradient takes max_norm, or min and max, and not both')
        for bound in (max_norm, min, max):
            if not isinstance(bound, (int, float, type(None))):  # pyright: ignore[reportUnnecessaryIsInstance] same
                _refuse(f'clip_gradient takes real numbers as its bounds, and got {bound!r}')
        if max_norm is not None and not max_norm > 0:
            _refuse(f'the norm of clip_gradient is a positive number, and got {max_norm!r}')
        bounds = {'max_norm': max_norm, 'min': min, 'max': max}
        return Node([as_node(x, self.name)], self, bounds)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return x

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        limit: Any = node.attrs['max_norm']
        if limit is None:
            return [clamp(output_grad, node.attrs['min'], node.attrs['max'])]
        # Never divided by less than the limit, so that a cotangent of zero stays one.
        scale = limit / maximum(vector_norm(output_grad), limit)
        return [output_grad * scale]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        msg = (
            f'clip_gradient clips what flows back, and has no meaning in forward mode: use reverse mode '
            f"(grad, vjp, jacobian(mode='reverse')), or leave it out there\n{node.location}"
        )
        raise NonDifferentiableError(msg)


scale_gradient = ScaleGradient()
clip_gradient = ClipGradient()


def reverse_gradient(x: Operand, factor: float = 1.0) -> Node:
    """Return ``x`` as it is; what flows through it is multiplied by ``-factor``, in either mode.

    Parameters
    ----------
    x : Node, torch.Tensor or number
        Any shape.
    factor : float
        The strength of the reversal.

    Returns
    -------
    Node
        Of the value of ``x``.

    References
    ----------
    Y. Ganin, V. Lempitsky, "Unsupervised domain adaptation by backpropagation", 2015.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> ad.grad(lambda x: ad.reverse_gradient(x) * 3)(torch.tensor(1.0))
    tensor(-3.)
    """
    return scale_gradient(x, -factor)
