"""A function at a point: any callable on a tree of tensors, or a graph on values for its inputs."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import optree
import torch

from adjoint.core.errors import AdjointError, NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.execute.evaluator import Evaluator
from adjoint.verify.differences import Steps
from adjoint.verify.powers import WholePowers

__all__ = ['Move', 'Point', 'widened']

# Changes the tensors of a fresh copy of the point, in place, by a step.
Move: TypeAlias = Callable[[list[torch.Tensor], float | complex], None]


class Point:
    """A function with the tensors it is differentiated at.

    The function never sees the caller's own tensors but copies, new ones at each call: it may keep or
    change them.

    Parameters
    ----------
    function : callable, Node or None
        From the tree to a tensor; or a node of a graph; or nothing, where only the place matters.
    tree : tree of torch.Tensor, or dict of Node to torch.Tensor
        The place.

    Raises
    ------
    TensorTypeError
        A leaf of the tree is no tensor.
    """

    def __init__(self, function: Callable[[Any], Any] | Node | None, tree: Any) -> None:
        self.evaluations = 0
        self._spec: optree.PyTreeSpec | None = None
        self._nodes: list[Node] = []
        if isinstance(function, Node) or _is_feed(tree):
            self._nodes, leaves = _fed(function, tree)
        else:
            leaves, self._spec = optree.tree_flatten(tree)
        self._call = self._caller(function)
        for leaf in leaves:
            if not isinstance(leaf, torch.Tensor):
                msg = (
                    f'a point is a tensor or a tree of tensors, and one of its leaves is {leaf!r} of '
                    f'type {type(leaf).__name__}: wrap numbers in torch.tensor(..., dtype=torch.float64)'
                )
                raise TensorTypeError(msg)
        # Contiguous copies, so that every entry is one of its own in memory (an expanded view's are not).
        self.leaves = [_copy(leaf.detach()) for leaf in cast('list[torch.Tensor]', leaves)]
        self.value = self._at([_copy(leaf) for leaf in self.leaves])

    def _caller(self, function: Callable[[Any], Any] | Node | None) -> Callable[[list[torch.Tensor]], Any]:
        if function is None:
            return lambda _: 0.0
        if isinstance(function, Node):
            evaluator = Evaluator([function])
            return lambda copies: evaluator.run(self.rebuilt(copies))[0]
        return lambda copies: function(self.rebuilt(copies))

    @property
    def differentiable(self) -> list[int]:
        """The positions of the leaves that have derivatives: of a floating or complex dtype."""
        return [i for i, leaf in enumerate(self.leaves) if leaf.is_floating_point() or leaf.is_complex()]

    @property
    def eps(self) -> float:
        """The machine epsilon of the coarsest dtype among value and differentiable leaves."""
        held = [*(self.leaves[i] for i in self.differentiable), self.value]
        return max(
            (torch.finfo(t.dtype).eps for t in held if t.is_floating_point() or t.is_complex()),
            default=torch.finfo(torch.float64).eps,
        )

    def rebuilt(self, leaves: list[Any]) -> Any:
        """The caller's structure around these leaves."""
        if self._spec is None:
            return dict(zip(self._nodes, leaves, strict=True))
        return optree.tree_unflatten(self._spec, leaves)

    def matched(self, tree: Any, what: str) -> list[torch.Tensor | None]:
        """The leaves of a tree like that of the point; ``None`` where it says nothing.

        Raises
        ------
        ShapeError
            Its structure, or the shape of a leaf, is another.
        """
        if self._spec is None:
            given = cast('Mapping[Node, torch.Tensor]', tree)
            strange = [str(node) for node in given if node not in self._nodes]
            if strange:
                msg = f'{what} names {", ".join(strange)}, which the point gives no value'
                raise ShapeError(msg)
            found: list[Any] = [given.get(node) for node in self._nodes]
        else:
            spec = self._spec
            try:
                found = spec.flatten_up_to(tree)
            except ValueError as error:
                msg = f'{what} has another structure than the point: {error}'
                raise ShapeError(msg) from error
        for leaf, own in zip(found, self.leaves, strict=True):
            if leaf is not None and (not isinstance(leaf, torch.Tensor) or leaf.shape != own.shape):
                came = tuple(leaf.shape) if isinstance(leaf, torch.Tensor) else repr(leaf)
                msg = f'{what} has {came} where the point has a tensor of shape {tuple(own.shape)}'
                raise ShapeError(msg)
        return found

    def along(self, *moves: Move) -> Steps:
        """The function of one real step for each move."""

        def phi(steps: tuple[float, ...]) -> torch.Tensor:
            copies = [_copy(leaf) for leaf in self.leaves]
            for move, step in zip(moves, steps, strict=True):
                move(copies, step)
            return widened(self._at(copies))

        return phi

    def complex_quotient(self, move: Move, step: float) -> torch.Tensor:
        """The imaginary part of the function after an imaginary step, over the step if that is not 0.

        Raises
        ------
        NonDifferentiableError
            The function does not take complex values, or answers them with real ones.
        """
        copies = [
            _copy(leaf.to(_complex(leaf.dtype)) if leaf.is_floating_point() else leaf) for leaf in self.leaves
        ]
        remedy = "choose method='central', 'five-point' or 'richardson', which stay real"
        try:
            move(copies, 1j * step)
            with WholePowers():
                value = self._at(copies)
        except (RuntimeError, TypeError, AdjointError) as error:
            msg = (
                f'the complex step runs the function on complex values, and there it fails '
                f'({type(error).__name__}: {error}); {remedy}'
            )
            raise NonDifferentiableError(msg) from error
        if not value.is_complex():
            msg = (
                f'the complex step needs an analytic function, and this one answers complex values '
                f'with a real one of {value.dtype} (by abs, real, a comparison or the like); {remedy}'
            )
            raise NonDifferentiableError(msg)
        return widened(value).imag if step == 0 else widened(value).imag / step

    def _at(self, leaves: list[torch.Tensor]) -> torch.Tensor:
        self.evaluations += 1
        value = self._call(leaves)
        if isinstance(value, (int, float, complex)):
            value = torch.tensor(value, dtype=torch.complex128 if value.imag else torch.float64)
        if not isinstance(value, torch.Tensor):
            msg = f'the function must return one tensor; it returned {value!r} of type {type(value).__name__}'
            raise TensorTypeError(msg)
        return value.detach()


def widened(value: torch.Tensor) -> torch.Tensor:
    """The value as float64 or complex128, so that differences round no more than they must."""
    return value.to(torch.complex128 if value.is_complex() else torch.float64)


def _copy(leaf: torch.Tensor) -> torch.Tensor:
    return leaf.clone(memory_format=torch.contiguous_format)


def _complex(dtype: torch.dtype) -> torch.dtype:
    # The small formats have no complex partner with kernels.
    return dtype.to_complex() if dtype.itemsize >= torch.float32.itemsize else torch.complex64


def _is_feed(tree: Any) -> bool:
    """Whether a tree is what a graph is fed: a dictionary by nodes."""
    return isinstance(tree, Mapping) and any(isinstance(key, Node) for key in cast('Any', tree))


def _fed(function: object, tree: Any) -> tuple[list[Node], list[Any]]:
    if not _is_feed(tree) and tree != {}:
        msg = (
            f"the point of graph node '{function}' is a dictionary from its input nodes to tensors; "
            f'got {tree!r}'
        )
        raise TensorTypeError(msg)
    fed = cast('Mapping[Node, Any]', tree)
    return list(fed), list(fed.values())
