"""``custom_op``: an op from plain functions, one for its value and one for its derivative."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast, overload

import torch

from adjoint.autodiff.reverse import cotangents
from adjoint.core.errors import NonDifferentiableError, RuleError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.wording import described
from adjoint.flow.batching import together
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import alias
from adjoint.ops.several import items, joined, parts

__all__ = ['CustomOp', 'custom_op']

Rule = Callable[..., Any]


class CustomOp(Op):
    """An op whose value and rules are plain functions; made by :func:`custom_op`."""

    def __init__(
        self,
        forward: Callable[..., Any],
        gradient: Rule | None,
        jvp: Rule | None,
        batch: Rule | None,
        outputs: int,
    ) -> None:
        self.outputs = outputs
        self._forward = forward
        self._gradient = gradient
        self._jvp = jvp
        self._batch = batch
        self._signature = inspect.signature(forward)
        kinds = {parameter.kind: f'*{name}' for name, parameter in self._signature.parameters.items()}
        if inspect.Parameter.VAR_POSITIONAL in kinds:
            msg = (
                f'{self.name}{self._signature} takes any number of operands, as '
                f'{kinds[inspect.Parameter.VAR_POSITIONAL]}: a custom_op names each, as its rules do'
            )
            raise TensorTypeError(msg)
        functools.update_wrapper(self, forward)

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        """Build the node, or the tuple of them; given tensors and numbers only, compute the value.

        Raises
        ------
        TensorTypeError
            The arguments are not those of the function.
        """
        try:
            bound = self._signature.bind(*operands, **attrs)
        except TypeError as error:
            msg = f'{self.name}{self._signature} was called with other arguments: {error}'
            raise TensorTypeError(msg) from None
        if not any(isinstance(x, Node) for x in operands):
            return self._forward(*operands, **attrs)
        bound.apply_defaults()
        node = Node([as_node(x, self.name) for x in bound.args], self, bound.kwargs)
        return node if self.outputs == 1 else items(node)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        value: Any = self._forward(*input_values, **node.attrs)
        if self.outputs == 1:
            return value
        entries = tuple(cast('Sequence[Any]', value)) if isinstance(value, (tuple, list)) else ()
        if len(entries) != self.outputs:
            msg = f'{self.name} has outputs={self.outputs}, and returned {described(cast("object", value))}'
            raise RuleError(f'{msg}\n{node.location}')
        return entries

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        if self._gradient is not None:
            ys = [node] if self.outputs == 1 else list(items(node))
            cts = _filled(parts(node, output_grad), ys)
            found = self._gradient(*_one_or_all(cts, ys), *node.inputs, **node.attrs)
            return _listed(found, len(node.inputs))
        if self._jvp is None:
            raise NonDifferentiableError(
                f'{self.name} has neither a gradient nor a jvp: give custom_op one of them\n{node.location}'
            )
        # The pushforward is linear in the tangents: its adjoint does not depend on where it is taken.
        ts = [alias(zeros_like(x)) for x in node.inputs]
        pushed = self._pushed(node, ts)
        seeds: dict[Node, Node] = {}
        for t, ct in zip(pushed, parts(node, output_grad), strict=True):
            if t is not None and ct is not None:
                seeds[t] = seeds[t] + ct if t in seeds else ct
        return cotangents(seeds, ts) if seeds else [None for _ in ts]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        if self._jvp is None:
            return super().jvp(node, input_tangents)
        return joined(self._pushed(node, _filled(input_tangents, node.inputs)))

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        if self._batch is None:
            return super().batch(node, input_batches)
        found = _listed(self._batch(tuple(input_batches), *node.inputs, **node.attrs), self.outputs)
        if len(found) != self.outputs or not all(isinstance(y, Node) for y in found):
            listed = ', '.join(map(described, found)) or 'nothing'
            msg = (
                f'the batch of {self.name} returned {listed}, and owes {self.outputs} as nodes, each with '
                f'the examples in front\n{node.location}'
            )
            raise RuleError(msg)
        return together(found)

    def _pushed(self, node: Node, tangents: Sequence[Node]) -> list[Node | None]:
        assert self._jvp is not None  # noqa: S101 both callers have asked
        ys = [node] if self.outputs == 1 else list(items(node))
        y = ys[0] if self.outputs == 1 else tuple(ys)
        found = _listed(self._jvp(tuple(tangents), y, *node.inputs, **node.attrs), self.outputs)
        for t in found:
            if t is not None and not isinstance(t, Node):
                msg = f'the jvp of {self.name} returned {described(t)}, and owes nodes\n{node.location}'
                raise RuleError(msg)
        if len(found) != self.outputs:
            msg = f'the jvp of {self.name} returned {len(found)} tangents for {self.outputs} outputs'
            raise RuleError(f'{msg}\n{node.location}')
        return found


def _filled(given: Sequence[Node | None], like: Sequence[Node]) -> list[Node]:
    return [zeros_like(x) if t is None else t for t, x in zip(given, like, strict=True)]


def _one_or_all(*several: Sequence[Node]) -> list[Any]:
    return [given[0] if len(given) == 1 else tuple(given) for given in several]


def _listed(found: Any, count: int) -> list[Any]:
    """Return what a rule returned as a list: one thing may stand for itself."""
    if isinstance(found, (tuple, list)):
        return list(cast('Sequence[Any]', found))
    return [found] if count == 1 or found is not None else [None] * count


@overload
def custom_op(
    forward: Callable[..., Any],
    *,
    gradient: Rule | None = None,
    jvp: Rule | None = None,
    batch: Rule | None = None,
    axes: Sequence[str] | None = None,
    outputs: int = 1,
) -> CustomOp: ...
@overload
def custom_op(
    *,
    gradient: Rule | None = None,
    jvp: Rule | None = None,
    batch: Rule | None = None,
    axes: Sequence[str] | None = None,
    outputs: int = 1,
) -> Callable[[Callable[..., Any]], CustomOp]: ...
def custom_op(
    forward: Callable[..., Any] | None = None,
    *,
    gradient: Rule | None = None,
    jvp: Rule | None = None,
    batch: Rule | None = None,
    axes: Sequence[str] | None = None,
    outputs: int = 1,
) -> Any:
    """Make an op of a function on tensors and of one rule for its derivative.

    Parameters
    ----------
    forward : callable
        Computes the value: tensors as positional arguments, everything else as keywords. It may do anything
        with the tensors, in NumPy too. Without it, a decorator is returned.
    gradient : callable, optional
        ``gradient(ct, y, *operands, **attrs)``, in nodes: the cotangent of the value, the value, and the
        arguments. It returns one cotangent for each operand, ``None`` where nothing flows.
    jvp : callable, optional
        ``jvp(ts, y, *operands, **attrs)``, in nodes: a tuple of the tangents of the operands, the value, and
        the arguments. It returns the tangent of the value.
    batch : callable, optional
        ``batch(batches, *operands, **attrs)``, in nodes: for each operand its batch, with the examples along
        a first axis, or ``None`` where it is the same for all; then the arguments of one example. It returns
        the batch of the value.
    axes : sequence of str, optional
        Says, in place of ``batch``, that every axis in front of those that these attrs count may be a batch;
        ``()`` for a function of the last axes. With neither, ``forward`` is applied to each example.
    outputs : int
        How many tensors the value is a tuple of; then ``ct`` and ``y`` are such tuples, and so is what
        ``jvp`` returns.

    Returns
    -------
    CustomOp
        Called with nodes, it builds the graph; with tensors, it is ``forward``. One of ``gradient`` and
        ``jvp`` serves both modes, as each is the adjoint of the other; both serve where one is faster.

    Raises
    ------
    TensorTypeError
        ``forward`` is no function, or its signature has operands as ``*args``; or both ``batch`` and
        ``axes`` are given.

    Notes
    -----
    The type of the value is found by running ``forward`` on tensors without data, where it can do that. The
    rules are made of nodes, and so have derivatives themselves. ``check_op`` checks them.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> @ad.custom_op(gradient=lambda ct, y, x, power=3: ct * power * x ** (power - 1))
    ... def raised(x, *, power=3):
    ...     return torch.pow(x, power)
    >>> ad.grad(raised)(torch.tensor(2.0)), ad.jvp(raised, (2.0,), (1.0,))[1]
    (tensor(12.), tensor(12.))
    >>> ad.check_op(raised, torch.tensor([0.5, -1.5])).ok
    True
    """
    if forward is None:
        return functools.partial(
            custom_op, gradient=gradient, jvp=jvp, batch=batch, axes=axes, outputs=outputs
        )
    if not callable(forward):
        msg = f'custom_op makes an op of a function, and got {described(forward)}'
        raise TensorTypeError(msg)
    if batch is not None and axes is not None:
        msg = 'custom_op takes one rule for a batch, and got two: batch and axes'
        raise TensorTypeError(msg)
    name = getattr(forward, '__name__', type(forward).__name__)
    own: dict[str, Any] = {'__module__': forward.__module__, '__doc__': forward.__doc__, 'name': name}
    own['axes'] = None if axes is None else tuple(axes)
    if gradient is not None:

        def stated(op: CustomOp, node: Node, output_grad: Node) -> list[Node | None]:
            return CustomOp.gradient(op, node, output_grad)

        # Messages about the rule name the place where the user wrote it.
        own['gradient'] = functools.update_wrapper(stated, gradient)
    made = type(name, (CustomOp,), own)
    return made(forward, gradient, jvp, batch, outputs)
