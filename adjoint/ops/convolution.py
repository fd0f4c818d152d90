"""Convolutions of every kind, and their adjoints: one trilinear form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.contraction import Multilinear
from adjoint.ops.creation import ones_like
from adjoint.ops.linear import conj, expand_like
from adjoint.ops.reduction import sum_
from adjoint.ops.shape import flatten, reshape_like, unsqueeze

__all__ = [
    'Convolution', 'ConvolutionInput', 'ConvolutionWeight', 'Sizes', 'convolution', 'convolution_input',
    'convolution_options', 'convolution_weight', 'repeated', 'tuple_or_number',
]  # fmt: skip

# One number for all axes, or one for each.
Sizes: TypeAlias = int | Sequence[int]

_NAMES = ('stride', 'padding', 'dilation', 'transposed', 'output_padding', 'groups')


def tuple_or_number(value: Any) -> Any:
    """Return a hashable form of sizes; a sequence of one number is that number."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return tuple(value) if len(value) != 1 else value[0]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] ints


def repeated(value: Any, count: int) -> list[Any]:
    """Return one number for each of ``count`` axes."""
    return list(value) if isinstance(value, tuple) else [value] * count  # pyright: ignore[reportUnknownArgumentType] ints


def convolution_options(attrs: Mapping[str, Any], axes: int) -> list[Any]:
    """Return the attrs as the kernels take them."""
    return [v if name in {'transposed', 'groups'} else repeated(v, axes)
            for name, v in ((name, attrs[name]) for name in _NAMES)]  # fmt: skip


def _check_channels(node: Node, x: torch.Tensor, w: torch.Tensor, c: torch.Tensor | None = None) -> None:
    """Refuse channels that do not fit, which tensors without data do not."""
    takes, gives = w.shape[1] * node.attrs['groups'], w.shape[0]
    if node.attrs['transposed']:
        takes, gives = gives, takes
    for name, value, channels in (('x', x, takes), ('c', c, gives)):
        if value is not None and value.shape[1] != channels:
            msg = f'{name} has {value.shape[1]} channels, where w of shape {[*w.shape]} has {channels}'
            raise RuntimeError(msg)


def _bilinear(
    kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], a: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """Apply a bilinear kernel, which takes real tensors only, to tensors that may be complex."""
    if not (a.is_complex() or b.is_complex()):
        return kernel(a, b)
    if not a.is_complex():
        return torch.complex(kernel(a, b.real), kernel(a, b.imag))
    if not b.is_complex():
        return torch.complex(kernel(a.real, b), kernel(a.imag, b))
    # Three products for the four: (a + ib)(c + id) = ac - bd + i((a + b)(c + d) - ac - bd).
    first, second = kernel(a.real, b.real), kernel(a.imag, b.imag)
    both = kernel(a.real + a.imag, b.real + b.imag)
    return torch.complex(first - second, both - first - second)


# Write T(c, x, w) for the sum of the entries of c * convolution(x, w). The convolution is the derivative of T
# by c, and the other two ops are those by x and by w. They take the shape of their result from an operand,
# because where a stride does not divide evenly several sizes of x give the same size of the value.


class Convolution(Op):
    """The convolution of ``x`` with ``w``, plus a ``bias`` for each channel, as ``aten.convolution``.

    ``x`` is a batch of channels of one, two or three axes.
    """

    def __call__(
        self,
        x: Operand,
        w: Operand,
        bias: Operand | None = None,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        transposed: bool = False,
        output_padding: Sizes = 0,
        groups: int = 1,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node
            Of shape ``(batch, channels, *axes)``.
        w : Node
            Of shape ``(channels out, channels in / groups, *axes)``; the first two change places where
            ``transposed``.
        bias : Node, optional
            One number for each channel of the result.
        stride, padding, dilation, output_padding : int or sequence of int
            One for all axes, or one for each.
        transposed : bool
            Whether it is the adjoint of a convolution with these options.
        groups : int
            In how many groups the channels are convolved.
        """
        given = (stride, padding, dilation, bool(transposed), output_padding, groups)
        attrs = {name: tuple_or_number(value) for name, value in zip(_NAMES, given, strict=True)}
        operands = [x, w] if bias is None else [x, w, bias]
        return Node([as_node(a, self.name) for a in operands], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, w, *rest = input_values
        _check_channels(node, x, w)
        options = convolution_options(node.attrs, w.ndim - 2)
        if not x.is_complex() and not w.is_complex():
            return torch.ops.aten.convolution(x, w, rest[0] if rest else None, *options)
        y = _bilinear(lambda a, b: torch.ops.aten.convolution(a, b, None, *options), x, w)
        return y + rest[0].reshape(-1, *[1] * (w.ndim - 2)) if rest else y

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        x, w, *rest = node.inputs
        cts: list[Node | None] = [
            convolution_input(output_grad, conj(w), x, node.attrs),
            convolution_weight(output_grad, conj(x), w, node.attrs),
        ]
        return cts + [sum_(flatten(output_grad, 2, -1), (0, 2)) for _ in rest]

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the windows of ``x`` that marked entries are made from; each takes all of its weights."""
        x, w, *rest = node.inputs
        if mask is None:
            return [None] * len(node.inputs)
        windows = convolution_input(expand_like(mask, node), ones_like(w), x, node.attrs)
        return [windows, None, *(None for _ in rest)]

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the entries whose windows have a marked entry of ``x``."""
        x, w, *_ = node.inputs
        if not isinstance(masks[0], Node) or any(m is not False for m in masks[1:]):
            return None
        return Node([expand_like(masks[0], x), ones_like(w)], self, node.attrs)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the sum of the convolutions with one operand replaced by its tangent."""
        x, w, *_ = node.inputs
        tx, tw, *rest = input_tangents
        terms: list[Node] = []
        if tx is not None:
            terms.append(Node([tx, w], self, node.attrs))
        if tw is not None:
            terms.append(Node([x, tw], self, node.attrs))
        for t in rest:
            if t is not None:
                flat = expand_like(unsqueeze(t, -1), flatten(node, 2, -1))
                terms.append(reshape_like(flat, node))
        total: Node | None = None
        for term in terms:
            total = term if total is None else total + term
        return total


def _convolve(a: Node, b: Node, like: Node) -> Node:
    return Node([a, b], convolution, like.attrs)


class ConvolutionInput(Multilinear):
    """The derivative of ``sum(c * convolution(x, w))`` by ``x``, in the shape of ``x``."""

    linear_in = (0, 1)

    def __call__(self, c: Operand, w: Operand, x: Operand, options: Any) -> Node:
        """Build the node; the options are the attrs of a convolution."""
        return Node([as_node(a, self.name) for a in (c, w, x)], self, options)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        c, w, like = input_values
        _check_channels(node, like, w, c)
        options = convolution_options(node.attrs, w.ndim - 2)
        like = like.real if like.is_complex() else like

        def kernel(c: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            back = torch.ops.aten.convolution_backward
            return back(c, like, w, None, *options, [True, False, False])[0]

        return _bilinear(kernel, c, w)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        c, w, _ = node.inputs
        by_c = _convolve(output_grad, conj(w), node)
        return [by_c, convolution_weight(conj(c), output_grad, w, node.attrs), None]


class ConvolutionWeight(Multilinear):
    """The derivative of ``sum(c * convolution(x, w))`` by ``w``, in the shape of ``w``."""

    linear_in = (0, 1)

    def __call__(self, c: Operand, x: Operand, w: Operand, options: Any) -> Node:
        """Build the node; the options are the attrs of a convolution."""
        return Node([as_node(a, self.name) for a in (c, x, w)], self, options)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        c, x, like = input_values
        _check_channels(node, x, like, c)
        options = convolution_options(node.attrs, like.ndim - 2)
        like = like.real if like.is_complex() else like

        def kernel(c: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            back = torch.ops.aten.convolution_backward
            return back(c, x, like, None, *options, [False, True, False])[1]

        return _bilinear(kernel, c, x)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        c, x, _ = node.inputs
        by_c = _convolve(conj(x), output_grad, node)
        return [by_c, convolution_input(conj(c), output_grad, x, node.attrs), None]


convolution = Convolution()
convolution_input = ConvolutionInput()
convolution_weight = ConvolutionWeight()
