"""``implicit``: what a solver finds, differentiated by what it solves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import optree
import torch

from adjoint.autodiff.gradients import gradients
from adjoint.core.births import births
from adjoint.core.errors import ConvergenceError, ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.flow.root import root_of
from adjoint.ops.body import Body
from adjoint.transform.bodies import Tree, check_alike, finished
from adjoint.transform.returned import name_of, scalar_in

__all__ = ['Kind', 'implicit']

Kind: TypeAlias = Literal['root', 'fixed point', 'minimum']


def implicit(
    function: Callable[..., Any],
    solver: Callable[..., Any],
    *,
    of: Kind = 'root',
    tolerance: float | None = None,
) -> Callable[..., Any]:
    """Return a function that gives the solution of an equation, with derivatives by what it depends on.

    Parameters
    ----------
    function : callable
        ``function(x, *args)``, in nodes and functions of torch: what is solved. Of a root and of a fixed
        point it returns what ``x`` is, in structure and shapes; of a minimum one scalar.
    solver : callable
        ``solver(x0, *args)``, on tensors, in any way: it returns ``x``. Nothing in it is differentiated.
    of : {'root', 'fixed point', 'minimum'}
        What ``x`` is: ``function(x, *args) = 0``; ``function(x, *args) = x``; or the gradient of
        ``function(x, *args)`` by ``x`` is zero.
    tolerance : float, optional
        The largest residual, relative to ``1 + |x|`` entry by entry, at which the solver has converged. By
        default the root of the machine epsilon, 1.5e-8 for float64.

    Returns
    -------
    callable
        ``solved(x0, *args)``: the solution, in the structure of ``x0``. All are tensors or nodes in nested
        tuples, lists and dicts. Derivatives flow to ``args``, not to ``x0``.

    Raises
    ------
    ConvergenceError
        When it is run: the solver returned no solution; or, for a derivative, the Jacobian of the equation
        by ``x`` is singular there.
    TensorTypeError, ShapeError
        When it is called: the function returns something else; or it closes over nodes, whose values the
        solver could not know.

    Notes
    -----
    By the implicit function theorem the derivative needs the solution alone, not the steps to it: each
    direction, in either mode, is the solution of one linear system with the Jacobian of the equation. Up to
    512 unknowns it is solved dense, beyond by GMRES, without a matrix. The solution has to be isolated; its
    derivative is as exact as the solution is.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> def newton(x, a):
    ...     for _ in range(20):
    ...         x = (x + a / x) / 2
    ...     return x
    >>> root = ad.implicit(lambda x, a: x * x - a, newton)
    >>> one, a = torch.tensor(1.0), torch.tensor(4.0)
    >>> root(one, a), ad.grad(root, 1)(one, a)
    (tensor(2.), tensor(0.2500))
    """
    name, solver_name = name_of(function), name_of(solver)
    if of not in {'root', 'fixed point', 'minimum'}:
        msg = f"of is 'root', 'fixed point' or 'minimum', and got {of!r}"
        raise TensorTypeError(msg)

    def solved(x0: Any, *args: Any) -> Any:
        start = Tree.of(x0, 'x0', f'the start of {solver_name}')
        given = Tree.of(args, 'argument', f'the arguments of {name}')
        xs = Tree.of(x0, 'x', f'the solution of {name}').variables()
        operands = [*start.variables(), *given.variables()]
        arguments = given.filled(operands[len(xs) :])
        with births() as inside:
            residuals = _residuals(function, name, of, start, xs, arguments)
        body, captured = Body.closed([*xs, *operands], residuals, inside)
        if captured:
            closed_over = ', '.join(f"'{node}'" for node in captured)
            msg = (
                f'{name} closes over nodes, {closed_over}, whose values {solver_name} cannot know: pass them '
                f'as arguments\n{captured[0].location}'
            )
            raise TensorTypeError(msg)
        by = _Solver(solver, solver_name, name, start.structure, given.structure, tolerance)
        nodes = root_of(body, [*start.nodes, *given.nodes], by)
        return start.filled(finished(nodes, start, given))

    return solved


def _residuals(
    function: Callable[..., Any], name: str, of: Kind, start: Tree, xs: list[Node], arguments: Any
) -> list[Node]:
    """Return what is zero at the solution."""
    returned = function(start.filled(xs), *arguments)
    if of == 'minimum':
        return gradients(scalar_in(returned, name), xs)
    found = Tree.of(returned, 'result', f'what {name} returns')
    check_alike(
        start,
        found,
        f'x0 / the result of {name}',
        f'of a {of}, the function returns what x is',
    )
    return [y - x for y, x in zip(found.nodes, xs, strict=True)] if of == 'fixed point' else found.nodes


@dataclass(frozen=True)
class _Solver:
    """The solver of a user, whose solution is checked."""

    function: Callable[..., Any]
    name: str
    equation: str
    start: optree.PyTreeSpec
    arguments: optree.PyTreeSpec
    tolerance: float | None

    def __call__(self, body: Body, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the solution for the start and the arguments."""
        count = self.start.num_leaves
        x0 = optree.tree_unflatten(self.start, values[:count])
        args: Any = optree.tree_unflatten(self.arguments, values[count:])
        # The evaluator records nothing for torch's autograd, and a solver may use it.
        with torch.enable_grad():
            returned = self.function(x0, *args)
        leaves, structure = optree.tree_flatten(returned)
        if structure != self.start:
            msg = f'{self.name} returned {structure}, and x0 is {self.start}: return x in the structure of x0'
            raise TensorTypeError(msg)
        xs = [torch.as_tensor(x).detach() for x in leaves]
        for x, like in zip(xs, values[:count], strict=True):
            if x.shape != like.shape or x.dtype != like.dtype:
                msg = (
                    f'{self.name} returned a tensor of shape {tuple(x.shape)} and {x.dtype} where x0 is '
                    f'{tuple(like.shape)} and {like.dtype}: return x as x0 is'
                )
                raise ShapeError(msg)
        self._check(xs, body.run([*xs, *values]))
        return xs

    def _check(self, xs: Sequence[torch.Tensor], residuals: Sequence[torch.Tensor]) -> None:
        for x, residual in zip(xs, residuals, strict=True):
            if not x.numel():
                continue
            tolerance = torch.finfo(x.dtype).eps ** 0.5 if self.tolerance is None else self.tolerance
            worst = float((residual.abs() / (1 + x.abs())).max())
            if not worst <= tolerance:
                msg = (
                    f'{self.name} has not solved {self.equation}: its residual is {worst:.1e}, allowed '
                    f'{tolerance:.1e}. Run it for longer, start nearer to the solution, or give a tolerance'
                )
                raise ConvergenceError(msg)
