"""Colourings of sparsity patterns: which columns, rows or both can share a product.

Columns that share no row can be had from one product with the sum of their unit vectors (Curtis, Powell and
Reid, 1974). For a symmetric matrix less is needed: a star colouring of its graph (Coleman and Moré, 1984),
found greedily (Gebremedhin, Tarafdar, Manne and Pothen, 2007).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from adjoint.autodiff.local_patterns import Matrix

__all__ = ['column_colours', 'star_colours', 'star_source']


def column_colours(pattern: Matrix) -> torch.Tensor:
    """Return a colour for each column, such that columns of one colour share no row; -1 for empty columns.

    Greedy, in the order of the columns and by the largest degree, of which the better is taken.
    """
    rows = pattern.tocsr()
    columns: int = rows.shape[1]
    filled: list[int] = np.flatnonzero(np.bincount(rows.indices, minlength=columns)).tolist()
    if int(np.diff(rows.indptr).max(initial=0)) == len(filled):
        best = list(range(len(filled)))  # a full row: no two columns can share a colour
    else:
        chosen = rows[:, filled].astype(np.int32)
        conflicts = _neighbours(chosen.T @ chosen)
        by_degree = sorted(range(len(filled)), key=lambda v: -len(conflicts[v]))
        found = [_first_fit(order, conflicts) for order in (range(len(filled)), by_degree)]
        best = min(found, key=lambda colours: max(colours, default=-1))
    colours = torch.full((columns,), -1, dtype=torch.int64)
    colours[filled] = torch.tensor(best, dtype=torch.int64)
    return colours


def _neighbours(graph: Matrix) -> list[list[int]]:
    """Return the neighbours of each vertex of a graph, given as a symmetric pattern."""
    graph = graph.tocsr()
    starts: list[int] = graph.indptr.tolist()
    ends: list[int] = graph.indices.tolist()
    return [[w for w in ends[starts[v] : starts[v + 1]] if w != v] for v in range(len(starts) - 1)]


def _first_fit(order: Sequence[int], conflicts: Sequence[Sequence[int]]) -> list[int]:
    """Return the first colour for each vertex, in an order, that no coloured neighbour has."""
    colours = [-1] * len(conflicts)
    for v in order:
        taken = {colours[w] for w in conflicts[v]}
        colours[v] = next(c for c in range(len(taken) + 1) if c not in taken)
    return colours


def star_colours(pattern: Matrix) -> torch.Tensor:
    """Return a star colouring of the graph of a symmetric pattern; -1 for empty columns.

    Neighbours have different colours, and each path of four vertices has at least three. So each entry of the
    matrix can be read off from the products with the sums of the unit vectors of each colour.
    """
    neighbours = _neighbours(pattern)
    filled: list[int] = np.flatnonzero(np.diff(pattern.tocsr().indptr)).tolist()
    colours = [-1] * len(neighbours)
    # Of each vertex: its coloured neighbours by colour; and the colours that a further neighbour may not
    # have, since it would be the end of a path of four with two colours.
    around: list[dict[int, list[int]]] = [defaultdict(list) for _ in neighbours]
    ending: list[set[int]] = [set() for _ in neighbours]
    for v in sorted(filled, key=lambda v: -len(neighbours[v])):
        colours[v] = colour = _free_colour(v, neighbours[v], colours, around, ending)
        for w in neighbours[v]:
            same = around[w][colour]
            if colours[w] >= 0:
                if len(around[v][colours[w]]) > 1:
                    ending[w].add(colour)  # v has another neighbour of the colour of w
                if same:
                    ending[v].add(colours[w])  # w has another neighbour of the colour of v
                    ending[same[0]].add(colours[w])
            same.append(v)
    return torch.tensor(colours, dtype=torch.int64)


def _free_colour(
    v: int,
    neighbours: Sequence[int],
    colours: Sequence[int],
    around: Sequence[dict[int, list[int]]],
    ending: Sequence[set[int]],
) -> int:
    """Return the first colour that a vertex may have."""
    forbidden: set[int] = set()
    for w in neighbours:
        if colours[w] >= 0:
            forbidden.add(colours[w])
            forbidden |= ending[w]
            if len(around[v][colours[w]]) > 1:  # v would be inside of a path of two colours
                forbidden |= around[w].keys()
    return next(c for c in range(len(forbidden) + 1) if c not in forbidden)


def star_source(pattern: Matrix, colours: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each entry of a symmetric pattern, by rows, in which row of which product it is alone."""
    found = pattern.tocoo()
    i, j = (torch.as_tensor(places, dtype=torch.int64) for places in (found.row, found.col))
    # How many entries of row i have the colour of column j.
    keys = i * (len(colours) + 1) + colours[j]
    inverse, counts = cast(
        'list[torch.Tensor]', torch.unique(keys, return_inverse=True, return_counts=True)[1:]
    )
    alone: torch.Tensor = counts[inverse] == 1
    return torch.where(alone, i, j), torch.where(alone, colours[j], colours[i])
