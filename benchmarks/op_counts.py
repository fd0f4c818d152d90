"""Count the ops of the derivatives of sin(sin(sin(x))), order by order, next to those of JAX and torch.

Run with ``make counts``. Every derivative is computed in float64 and compared with mpmath. The figures of
JAX (equations of a jaxpr, by ``make_jaxpr``) and torch (nodes of a graph of ``make_fx``) at order 7 are
published ones; where the package is installed, they are counted again.
"""

import argparse
import importlib.util
import math
from collections.abc import Callable
from typing import Any, cast

import mpmath
import torch
from rich.console import Console
from rich.table import Table
from torch.fx.experimental.proxy_tensor import make_fx

import adjoint as ad

# At order 7, by others: as it is traced, after common-subexpression elimination, by Taylor mode.
PUBLISHED = {
    'JAX': '6383',
    'JAX, shared': '3722',
    'JAX, Taylor mode': '615',
    'torch': '6327',
    'torch, shared': '5346',
}
AT = 0.7


def ops_behind(node: ad.Node) -> int:
    """How many ops compute a node: all nodes but the variable."""
    return len(ad.topological_sort(node)) - 1


def composed(sine: Callable[[ad.Node], ad.Node], x: ad.Node) -> ad.Node:
    """The function that is differentiated."""
    return sine(sine(sine(x)))


def nested_reverse(x: ad.Node, highest: int) -> list[ad.Node]:
    """The derivative of each order, as the gradient of the one before."""
    found = [composed(ad.sin, x)]
    for _ in range(highest):
        found += ad.gradients(found[-1], [x])
    return found[1:]


def nested_forward(x: ad.Node, highest: int) -> list[ad.Node]:
    """The derivative of each order, as the tangent of the one before."""
    found = [composed(ad.sin, x)]
    one = ad.ones_like(x)
    for _ in range(highest):
        moved = ad.pushforward(found[-1], {x: one})
        assert moved is not None
        found.append(moved)
    return found[1:]


def taylor_mode(x: ad.Node, highest: int) -> list[ad.Node]:
    """The derivative of each order, from the coefficients of a power series."""
    found = ad.taylor(composed(ad.sin, x), {x: [ad.ones_like(x)]}, highest)
    return [c * math.factorial(k) for k, c in enumerate(found, start=1) if c is not None]


WAYS: dict[str, Callable[[ad.Node, int], list[ad.Node]]] = {
    'nested reverse mode': nested_reverse,
    'nested forward mode': nested_forward,
    'Taylor mode': taylor_mode,
}


def composed_sine(t: Any) -> Any:
    """The function in the arithmetic of mpmath."""
    sine = cast('Callable[[Any], Any]', mpmath.sin)
    return sine(sine(sine(t)))


def expected(highest: int) -> list[float]:
    """The derivatives, computed with 60 digits and rounded."""
    with mpmath.workdps(60):
        coefficients = cast('list[Any]', mpmath.taylor(composed_sine, mpmath.mpf(AT), highest))
        return [float(c) * math.factorial(k) for k, c in enumerate(coefficients) if k > 0]


def largest_error(derivatives: list[ad.Node], x: ad.Node) -> float:
    """The largest relative error of all orders."""
    values = ad.Evaluator(derivatives).run({x: torch.tensor(AT, dtype=torch.float64)})
    pairs = zip(values, expected(len(derivatives)), strict=True)
    return max(abs(value.item() - exact) / abs(exact) for value, exact in pairs)


def torch_counts(highest: int) -> list[int]:
    """Nodes of the traced derivatives of torch.func, without inputs and outputs."""

    def sines(t: torch.Tensor) -> torch.Tensor:
        return torch.sin(torch.sin(torch.sin(t)))

    function: Any = sines
    counts: list[int] = []
    for _ in range(highest):
        function = torch.func.grad(function)
        traced = make_fx(function)(torch.tensor(AT, dtype=torch.float64))
        counts.append(sum(node.op == 'call_function' for node in traced.graph.nodes))
    return counts


def jax_counts(highest: int) -> list[int]:
    """Equations of the traced derivatives of JAX."""
    jax: Any = importlib.import_module('jax')

    def sines(t: Any) -> Any:
        return jax.numpy.sin(jax.numpy.sin(jax.numpy.sin(t)))

    function: Any = sines
    counts: list[int] = []
    for _ in range(highest):
        function = jax.grad(function)
        counts.append(len(jax.make_jaxpr(function)(AT).jaxpr.eqns))
    return counts


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--highest', type=int, default=7, help='the highest order')
    parser.add_argument('--peers', action='store_true', help='count torch, and JAX if installed, again')
    options = parser.parse_args()
    table = Table(title='ops of the n-th derivative of sin(sin(sin(x)))')
    for name in ('', *(f'n = {n}' for n in range(1, options.highest + 1)), 'relative error'):
        table.add_column(name, justify='right' if name else 'left')
    for name, derivatives in WAYS.items():
        x = ad.Variable('x', (), torch.float64)
        found = derivatives(x, options.highest)
        counts = [str(ops_behind(node)) for node in found]
        table.add_row(name, *counts, f'{largest_error(found, x):.0e}')
    blank = [''] * (options.highest - 1)
    if options.peers:
        table.add_row(f'torch {torch.__version__}', *map(str, torch_counts(options.highest)), '')
    if options.peers and importlib.util.find_spec('jax') is not None:
        table.add_row('JAX', *map(str, jax_counts(options.highest)), '')
    if options.highest == 7:  # noqa: PLR2004 what is published
        for name, count in PUBLISHED.items():
            table.add_row(f'{name} (published)', *blank, count, '')
    Console().print(table)


if __name__ == '__main__':
    main()
