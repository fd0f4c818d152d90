"""The linear function that a derivative is at a point, with its graph and the values that it needs."""

from collections.abc import Sequence
from typing import Any

import optree

from adjoint.autodiff.reverse import cotangents
from adjoint.autodiff.seeds import fitting
from adjoint.core.errors import AdjointError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.source import add_calling_line
from adjoint.ops.body import Body
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import sum_to_like

__all__ = ['LinearFunction', 'or_zeros', 'pulled']


class LinearFunction:
    """A derivative at a point, to be applied to as many tangents or cotangents as wanted.

    Made by ``vjp`` and ``linearize``. What it needs of the point, the residuals, was computed once; each
    call runs what depends on its operands, and nothing else.

    Parameters
    ----------
    body : Body
        Its graph: the first inputs are the operands, the others the residuals.
    residuals : sequence of torch.Tensor or Node
        Their values; nodes where the derivative is part of a graph.
    domain, codomain : optree.PyTreeSpec
        The structure of the positional arguments, and of the result.
    what : str
        What an operand belongs to, for messages.
    """

    def __init__(
        self,
        body: Body,
        residuals: Sequence[Any],
        domain: optree.PyTreeSpec,
        codomain: optree.PyTreeSpec,
        what: str,
    ) -> None:
        self.body = body
        self.residuals = list(residuals)
        self.domain = domain
        self.codomain = codomain
        self.what = what

    def at(self, residuals: Sequence[Any]) -> 'LinearFunction':
        """Return the same function at another point."""
        return LinearFunction(self.body, residuals, self.domain, self.codomain, self.what)

    def __call__(self, *operands: Any) -> Any:
        """Return the derivative applied to the operands.

        Parameters
        ----------
        *operands
            Tensors, numbers or nodes, in the structure of what they belong to: for ``linearize`` of the
            arguments, for ``vjp`` of the value.

        Raises
        ------
        TensorTypeError, ShapeError
            Another structure, or another shape or dtype.
        """
        try:
            return self._applied(operands)
        except AdjointError as error:
            add_calling_line(error)
            raise

    def _applied(self, operands: Any) -> Any:
        leaves, structure = optree.tree_flatten(operands)
        if structure != self.domain:
            msg = (
                f'this takes the structure of {self.what}, {_shown(self.domain)}, and got {_shown(structure)}'
            )
            raise TensorTypeError(msg)
        inputs = self.body.inputs[: len(leaves)]
        given = [fitting(leaf, x.type, x.name, self.what) for leaf, x in zip(leaves, inputs, strict=True)]
        values: list[Any] = [*given, *self.residuals]
        if any(isinstance(v, Node) for v in values):
            found: Sequence[Any] = self.body.inline([as_node(v, 'a derivative') for v in values])
        else:
            found = self.body.run(values)
        return optree.tree_unflatten(self.codomain, found)

    def __repr__(self) -> str:
        return f'<LinearFunction of {_shown(self.domain)} with {len(self.residuals)} residuals>'


def or_zeros(found: Sequence[Node | None], like: Sequence[Node]) -> list[Node]:
    """Return tangents or cotangents with zeros where nothing flows."""
    return [zeros_like(x) if t is None else t for t, x in zip(found, like, strict=True)]


def pulled(
    ys: Sequence[Node], cts: Sequence[Node], xs: Sequence[Node], *, nan_safe: bool = True
) -> list[Node]:
    """Return the cotangents of ``xs`` from those of ``ys``, in their shape and dtype."""
    seeds: dict[Node, Node] = {}
    for y, ct in zip(ys, cts, strict=True):
        seeds[y] = seeds[y] + ct if y in seeds else ct
    return [
        sum_to_like(ct, x) if x.type is None or x.type.dtype is None else ct
        for ct, x in zip(or_zeros(cotangents(seeds, xs, nan_safe=nan_safe), xs), xs, strict=True)
    ]


def _shown(structure: optree.PyTreeSpec) -> str:
    return str(structure).removeprefix('PyTreeSpec(').removesuffix(')')
