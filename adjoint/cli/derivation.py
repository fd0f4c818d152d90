"""One expression at one place, differentiated in the three ways: what ``adjoint derive`` prints."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as untyped_sympy
import torch

from adjoint.autodiff.gradients import gradients
from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.execute.evaluator import Evaluator
from adjoint.verify import numeric, symbolic
from adjoint.verify.differences import Method

__all__ = ['Derivation', 'Partial', 'Reading']

sympy: Any = untyped_sympy  # it ships no types

_SCALAR = TensorType((), torch.float64)


@dataclass(frozen=True, slots=True)
class Reading:
    """A derivative by numeric differentiation: the value, the step, the estimated error, the runs."""

    value: float
    error: float
    steps: tuple[float, ...]
    runs: int


@dataclass(frozen=True, slots=True)
class Partial:
    """One partial derivative of an expression: by which variables, one after the other."""

    path: tuple[str, ...]

    @property
    def label(self) -> str:
        """``df/dx``, ``d2f/dxdy``, ``d3f/dx2dy``."""
        power = '' if len(self.path) == 1 else str(len(self.path))
        below = ''.join(f'd{x}{n if n > 1 else ""}' for x, n in Counter(self.path).items())
        return f'd{power}f/{below}'

    def latex(self, *, partial: bool) -> str:
        r"""``\frac{\partial^{2} f}{\partial x \partial y}``, or with a d."""
        sign = r'\partial' if partial else 'd'
        power = '' if len(self.path) == 1 else f'^{{{len(self.path)}}}'
        counts = Counter(self.path)
        below = ' '.join(
            f'{sign} {sympy.latex(sympy.Symbol(x))}' + (f'^{{{n}}}' if n > 1 else '')
            for x, n in counts.items()
        )
        return rf'\frac{{{sign}{power} f}}{{{below}}}'


class Derivation:
    """An expression of scalars, with all that can be asked of it.

    Parameters
    ----------
    text : str
        As ``adjoint.verify.symbolic.parse`` reads it.

    Raises
    ------
    ExpressionError
        It cannot be read.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.node, self.variables = symbolic.parse(text, type=_SCALAR)
        # The complex step runs the expression on complex values, which a typed graph refuses.
        self._untyped, self._untyped_variables = symbolic.parse(text)
        self._derivatives: dict[tuple[str, ...], Node] = {(): self.node}

    def partials(self, names: Sequence[str], order: int) -> list[Partial]:
        """All partial derivatives of an order, the mixed ones once."""
        paths = itertools.combinations_with_replacement(names, order)
        return [Partial(path) for path in paths]

    def graph(self, path: tuple[str, ...]) -> Node:
        """The derivative by automatic differentiation, as a graph; ``()`` is the expression itself."""
        if path not in self._derivatives:
            # By all variables at once, so that they share what they have in common.
            derived = gradients(self.graph(path[:-1]), list(self.variables.values()))
            for name, node in zip(self.variables, derived, strict=True):
                self._derivatives[*path[:-1], name] = node
        return self._derivatives[path]

    def values(self, nodes: Sequence[Node], at: Mapping[str, float]) -> list[float]:
        """The values of nodes of the graph, in float64."""
        found = Evaluator(nodes).run(self._feed(self.variables, at))
        return [float(value) for value in found]

    @functools.cached_property
    def closed(self) -> Any:
        """The expression as sympy has it."""
        return symbolic.to_sympy(self.node)

    def symbolic(self, path: tuple[str, ...]) -> tuple[Any, str]:
        """The derivative in closed form, or ``None`` and why there is none."""
        try:
            return symbolic.derivative(self.node, path), ''
        except UnsupportedOpError as error:
            return None, str(error).partition(':')[0]
        except symbolic.ExpressionTooLarge:
            return None, 'the closed form is too large for sympy'

    def numeric(
        self, path: tuple[str, ...], at: Mapping[str, float], method: Method, step: float | None
    ) -> Reading:
        """The derivative by values of the expression alone."""
        one = torch.ones((), dtype=torch.float64)
        found = numeric.estimate_mixed(
            self._untyped,
            self._feed(self._untyped_variables, at),
            [{self._untyped_variables[name]: one} for name in path],
            method=method,
            step=step,
        )
        return Reading(float(found.value), float(found.error), found.step, found.evaluations)

    def costs(self, path: tuple[str, ...], closed: Any, reading: Reading) -> str:
        """What each way costs: operations to write out, nodes beside those of the expression, runs of it."""
        own = len(topological_sort(self.node))
        nodes = len(topological_sort([self.node, self.graph(path)])) - own
        ways = [] if closed is None else [f'symbolic {sympy.count_ops(closed)} operations']
        return ', '.join([*ways, f'automatic {nodes} nodes beside f', f'numeric {reading.runs} runs of f'])

    def slopes(self, path: tuple[str, ...], at: Mapping[str, float], step: float) -> tuple[float, float]:
        """The one-sided slopes, left and right, of what the last derivative of a path is taken of."""
        before, name = self.graph(path[:-1]), path[-1]
        left, here, right = (
            self.values([before], {**at, name: at[name] + offset})[0] for offset in (-step, 0.0, step)
        )
        return (here - left) / step, (right - here) / step

    def jumps(self, path: tuple[str, ...], at: Mapping[str, float]) -> tuple[float, float] | None:
        """The slopes on either side of the place, where they do not meet there; else ``None``.

        Of a smooth function the difference of the two falls with the step; at a kink it stays. At a jump
        the slopes themselves grow as the step falls.
        """
        step = 2.0**-17 * max(1.0, 2.0 ** round(math.log2(abs(at[path[-1]]) or 1)))
        wide, close = self.slopes(path, at, step), self.slopes(path, at, step / 8)
        gap, closer = wide[1] - wide[0], close[1] - close[0]
        scale = max(1.0, *(abs(x) for x in (*wide, *close)))
        # Rounding of the values, over the step, stays far below this.
        is_gap = abs(gap) > 1e-7 * scale and abs(closer) > abs(gap) / 2
        is_jump = any(abs(c) > 4 * max(1.0, abs(w)) for w, c in zip(wide, close, strict=True))
        return close if is_gap or is_jump else None

    @staticmethod
    def _feed(variables: Mapping[str, Node], at: Mapping[str, float]) -> dict[Node, torch.Tensor]:
        return {variable: torch.tensor(at[name], dtype=torch.float64) for name, variable in variables.items()}
