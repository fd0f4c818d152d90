"""Sparse derivatives of large functions: entries, products, and seconds to build and to run.

Run with ``make sparse``. A dense Jacobian of the largest would have 10,000,000,000 entries.
"""

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

import adjoint as ad
from adjoint.autodiff.sparse import SparseDerivative


def tridiagonal(x: ad.Node) -> SparseDerivative:
    """The Jacobian of a function of each entry and its two neighbours."""
    edge = torch.zeros(1, dtype=torch.float64)
    y = ad.sin(x) * 2 - ad.cat([x[1:], edge]) * ad.cat([edge, x[:-1]])
    return ad.sparse_jacobian(y, x)


def chain(x: ad.Node) -> SparseDerivative:
    """The Hessian of an energy between neighbours."""
    return ad.sparse_hessian(ad.sum(ad.cos(x[1:] - x[:-1])), x)


def arrow(x: ad.Node) -> SparseDerivative:
    """The Hessian of an energy between the first entry and each other."""
    return ad.sparse_hessian(ad.sum(x[0] * ad.square(x)), x)


def grid(x: ad.Node) -> SparseDerivative:
    """The Jacobian of the nonlinear five-point stencil on a square."""
    side = round(x.numel() ** 0.5)
    u = ad.reshape(x[: side * side], (side, side))
    inner = u[1:-1, 1:-1]
    around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    return ad.sparse_jacobian(around - 4 * inner + ad.exp(inner), x)


CASES: dict[str, Callable[[ad.Node], SparseDerivative]] = {
    'tridiagonal Jacobian': tridiagonal,
    'Hessian of a chain': chain,
    'Hessian of an arrow': arrow,
    'Jacobian of a stencil': grid,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else '')
    parser.add_argument('--size', type=int, default=100_000)
    size: int = parser.parse_args().size
    table = Table('derivative', 'entries', 'products', 'build', 'run', title=f'{size:,} variables')
    for name, make in CASES.items():
        x = ad.Variable('x', (size,), torch.float64)
        start = time.perf_counter()
        found = make(x)
        built = time.perf_counter()
        evaluator = ad.Evaluator([found.values])
        value = torch.linspace(0, 1, size, dtype=torch.float64)
        evaluator.run({x: value})
        warm = time.perf_counter()
        evaluator.run({x: value})
        seconds = (f'{s:.3f} s' for s in (built - start, time.perf_counter() - warm))
        table.add_row(name, f'{found.values.numel():,}', str(found.products), *seconds)
    Console().print(table)


if __name__ == '__main__':
    main()
