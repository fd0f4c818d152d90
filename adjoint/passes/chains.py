"""Chains of products in the order that costs least.

``A @ B @ v`` is read from the left, and costs a product of two matrices that ``A @ (B @ v)`` does not need. A
diagonal matrix in a chain, be it ``diag_embed(d)``, ``eye(n) * d`` or a factor that is broadcast as a row or
a column, scales what is smallest.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.arithmetic import div, mul, neg
from adjoint.ops.contraction import matmul
from adjoint.ops.diagonal import diag_embed
from adjoint.ops.ranges import eye
from adjoint.ops.shape import reshape, transpose, unsqueeze
from adjoint.passes.facts import broadcast_sizes, dtype_of, shape_of
from adjoint.passes.scales import WIDE, scaled
from adjoint.passes.walk import Walked, replaced

__all__ = ['chained']

_VECTOR, _MATRIX = 1, 2
_LINKS = {matmul, mul, div, neg, eye, diag_embed}
# Of a longer chain, the parts are ordered each for itself: the time for one grows with the cube.
_LONGEST = 16
# To read or write an entry takes as long as so many multiplications of a product.
_ENTRY = 8
# How many times cheaper another order must be.
_WORTH = 1.25


def chained(nodes: Iterable[Node]) -> Walked:
    """Compute chains of matrix products, of which nothing else uses what is between, in the cheapest order.

    The values are as close to the true ones, and rounded in another way, except where a product of some of
    the factors overflows or underflows, or an entry is infinite or nan.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.

    Returns
    -------
    Walked
        In the order of ``nodes``.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> a = ad.Variable('a', (50, 20), torch.float64)
    >>> d, v = (ad.Variable(n, (s,), torch.float64) for n, s in [('d', 50), ('v', 20)])
    >>> print(ad.to_text(chained([a.T @ torch.diag(d) @ a @ v]).nodes))
    a: float64[50, 20]
    d: float64[50]
    v: float64[20]
    v1 = transpose(a, dim0=-2, dim1=-1)
    v2 = a @ v
    v3 = d * v2
    v4 = v1 @ v3   # output
    """
    wanted = list(nodes)
    order = topological_sort(wanted)
    uses = Counter(x for node in order for x in node.inputs) + Counter(wanted)
    becomes: dict[Node, Node] = {}
    inside: set[Node] = set()
    outside = ambient_site()
    try:
        for node in reversed(order):
            if node in inside or node.op is not matmul or not _is_followed(node) or not _is_link(node):
                continue
            enter_site(node.site)
            chain = _chain(node, uses, inside)
            found = _cheapest(chain)
            if found is not None and shape_of(found) == shape_of(node):
                becomes[node] = found
    finally:
        leave_sites(outside)
    return Walked(replaced(wanted, becomes) if becomes else wanted, applied=len(becomes))


def _is_followed(product: Node) -> bool:
    """Whether an operand of a product may be one itself, or a diagonal matrix."""
    operands = (x.inputs[0] if x.op is transpose else x for x in product.inputs)
    return any(x.op in _LINKS for x in operands)


# -- what a chain is made of -------------------------------------------------------------------------


class _Factor(NamedTuple):
    """A matrix, the diagonal of one as a row or a column that broadcasts, or a number.

    A vector stands for a matrix of one row or column. A matrix that ``is_turned`` is yet to be transposed.
    """

    value: Node | float
    form: Literal['matrix', 'row', 'column', 'number']
    rows: int = 1
    columns: int = 1
    batch: tuple[int, ...] = ()
    is_turned: bool = False

    def laid(self) -> '_Factor':
        """Return the factor with its value transposed where it is to be."""
        if not self.is_turned or not isinstance(self.value, Node):
            return self
        return self._replace(value=transpose(self.value, -2, -1), is_turned=False)


class _Chain(NamedTuple):
    """Factors, and what their product costs in the order that they are multiplied in."""

    factors: list[_Factor]
    cost: float


class _Turned(NamedTuple):
    """A node that may be transposed; a vector is then a row."""

    node: Node
    is_turned: bool


def _chain(root: Node, uses: Mapping[Node, int], inside: set[Node]) -> _Chain:
    """Return the chain that ends at a node; notes what else lies in it."""
    factors: list[_Factor] = []
    cost, length = 0.0, 1
    pending: list[_Turned | _Factor] = [_Turned(root, _is_row(root))]
    while pending:
        part = pending.pop()
        if isinstance(part, _Factor):
            factors.append(part)
            continue
        may_open = part.node is root or (uses[part.node] == 1 and length < _LONGEST)
        links = _links(part) if may_open and _diagonal(part.node) is None else None
        if links is None:
            factors.append(_leaf(part))
            continue
        inside.add(part.node)
        cost += _cost_of(part.node)
        length += len(links) - 1
        pending.extend(reversed(links))
    is_identity = [f.form == 'number' and f.value == 1 for f in factors]
    return _Chain([f for f, is_one in zip(factors, is_identity, strict=True) if not is_one], cost)


def _rank(x: Node) -> int:
    return len(shape_of(x) or ())


def _is_row(y: Node) -> bool:
    """Whether a product that is a vector is a row times a matrix."""
    return y.op is matmul and _rank(y) == _rank(y.inputs[0]) == _VECTOR


def _is_link(y: Node) -> bool:
    """Whether a value is known to be a product of real matrices or vectors."""
    if y.op is not matmul or dtype_of(y) not in WIDE or shape_of(y) is None:
        return False
    shapes = [shape_of(x) for x in y.inputs]
    if None in shapes:
        return False
    ranks = [_rank(x) for x in y.inputs]
    # Batches of matrices times one vector are no matrices that another product could follow.
    return min(ranks) >= _MATRIX or max(ranks) <= _MATRIX


def _links(part: _Turned) -> list[_Turned | _Factor] | None:
    """Return the factors that a value is the product of, in their order; ``None`` where it is none."""
    y, is_turned = part
    if _is_link(y):
        a, b = y.inputs
        links: list[_Turned | _Factor] = [_Turned(a, _rank(a) == _VECTOR), _Turned(b, is_turned=False)]
        return _turned(links) if is_turned != _is_row(y) else links
    if _rank(y) < _MATRIX or dtype_of(y) not in WIDE:
        return None
    if y.op is transpose:
        axes = {y.attrs['dim0'] % _rank(y), y.attrs['dim1'] % _rank(y)}
        is_inner = axes == {_rank(y) - 2, _rank(y) - 1}
        return [_Turned(y.inputs[0], not is_turned)] if is_inner else None
    scale = _scale(y)
    if scale is None:
        return None
    a, by = scale
    links = [_Turned(a, is_turned=False), by]
    if by.form == 'column':
        links.reverse()
    return _turned(links) if is_turned else links


def _turned(links: Sequence[_Turned | _Factor]) -> list[_Turned | _Factor]:
    """Return the factors of the transposed product. A diagonal matrix is its own transpose."""
    return [x if isinstance(x, _Factor) else _Turned(x.node, not x.is_turned) for x in reversed(links)]


def _scale(y: Node) -> tuple[Node, _Factor] | None:
    """Return a matrix and the diagonal of what it is multiplied with, if a value is such a product."""
    if y.op is neg:
        return y.inputs[0], _Factor(-1.0, 'number')
    found = scaled(y)
    if found is None:
        return None
    a, by, divides = found
    if not isinstance(by, Node):
        return None if divides and by == 0 else (a, _Factor(1 / by if divides else by, 'number'))
    form = _form(by, a)
    return None if form is None else (a, _diagonal_of(1 / by if divides else by, form))


def _form(by: Node, a: Node) -> Literal['row', 'column', 'number'] | None:
    """Return which axis of matrices a factor that is broadcast to them has an entry for each place of."""
    if not by.shape:
        return 'number'
    rows, columns = (1, *by.shape)[-2:]
    if rows == 1 and columns == a.shape[-1]:
        return 'row'
    return 'column' if columns == 1 and rows == a.shape[-2] else None


def _diagonal_of(by: Node, form: Literal['row', 'column', 'number']) -> _Factor:
    size = 1 if form == 'number' else by.shape[-1 if form == 'row' else -2]
    return _Factor(by, form, size, size, by.shape[:-2])


def _diagonal(x: Node) -> _Factor | None:
    """Return the diagonal of what is known to be a diagonal matrix, or batches of them."""
    if x.op is eye:
        return _Factor(1.0, 'number') if x.attrs['n'] == x.attrs['m'] else None
    if x.op is diag_embed and shape_of(x) is not None:
        (d,) = x.inputs
        axes = {x.attrs['dim1'] % _rank(x), x.attrs['dim2'] % _rank(x)}
        if x.attrs['offset'] or axes != {_rank(x) - 2, _rank(x) - 1}:
            return None
        return _diagonal_of(d if _rank(d) == _VECTOR else unsqueeze(d, -2), 'row')
    if x.op not in {mul, div, neg} or all(a.op is not eye or _diagonal(a) is None for a in x.inputs):
        return None
    found = _scale(x)
    return None if found is None or found[0].op is not eye else found[1]


def _leaf(part: _Turned) -> _Factor:
    """Return a value as a factor."""
    x, is_turned = part
    found = _diagonal(x)
    if found is not None:
        return found
    shape = x.shape
    if len(shape) == _VECTOR:
        (size,) = shape
        return _Factor(x, 'matrix', *((1, size) if is_turned else (size, 1)))
    rows, columns = shape[-2:]
    if is_turned:
        return _Factor(x, 'matrix', columns, rows, shape[:-2], is_turned=True)
    return _Factor(x, 'matrix', rows, columns, shape[:-2])


def _cost_of(y: Node) -> float:
    """Return what a value costs that is a product."""
    if y.op is transpose:
        return 0.0
    entries = y.numel() + sum(x.numel() for x in y.inputs)
    return y.numel() * (y.inputs[0].shape[-1] if y.op is matmul else 1) + _ENTRY * entries


# -- its cheapest order ------------------------------------------------------------------------------


def _cheapest(chain: _Chain) -> Node | None:
    """Return the product of a chain in another order, if one is worth it."""
    factors = chain.factors
    if not any(f.form == 'matrix' for f in factors):
        return None
    cost, splits = _orders(factors)
    if cost * _WORTH > chain.cost:
        return None
    # Segments, each before what it is made of.
    pending, order = [(0, len(factors))], list[tuple[int, int]]()
    while pending:
        segment = start, stop = pending.pop()
        order.append(segment)
        if segment in splits:
            pending += [(start, splits[segment]), (splits[segment], stop)]
    made: dict[tuple[int, int], _Factor] = {}
    for start, stop in reversed(order):
        at = splits.get((start, stop))
        made[start, stop] = factors[start].laid() if at is None else _product(made[start, at], made[at, stop])
    value = made[0, len(factors)].value
    return value if isinstance(value, Node) else None


def _orders(factors: Sequence[_Factor]) -> tuple[float, dict[tuple[int, int], int]]:
    """Return the least cost of a product of factors, and where to split each segment for it.

    The dynamic programme over all segments, the shorter ones first.
    """
    count = len(factors)
    kinds = {(i, i + 1): f for i, f in enumerate(factors)}
    costs = dict.fromkeys(kinds, 0.0)
    splits: dict[tuple[int, int], int] = {}
    for length in range(2, count + 1):
        for start in range(count - length + 1):
            stop = start + length
            best = math.inf
            kind = kinds[start, stop] = _kind(kinds[start, stop - 1], factors[stop - 1])
            for at in range(start + 1, stop):
                left, right = (start, at), (at, stop)
                cost = costs[left] + costs[right] + _cost(kinds[left], kinds[right], kind)
                if cost <= best:  # from the left, where it makes no difference
                    best, splits[start, stop] = cost, at
            costs[start, stop] = best
    return costs[0, count], splits


def _kind(a: _Factor, b: _Factor) -> _Factor:
    """Return what a product of two factors is like, without its value."""
    batch = a.batch if a.batch == b.batch or not b.batch else broadcast_sizes(a.batch, b.batch)
    if a.form == 'number':
        return b._replace(batch=batch)
    if b.form == 'number':
        return a._replace(batch=batch)
    form = 'matrix' if 'matrix' in {a.form, b.form} else a.form
    return _Factor(a.value, form, a.rows, b.columns, batch)


def _entries(x: _Factor) -> int:
    return math.prod(x.batch) * x.rows * (x.columns if x.form == 'matrix' else 1)


def _cost(a: _Factor, b: _Factor, product: _Factor) -> float:
    """Return what the product of two factors costs."""
    is_product = a.form == b.form == 'matrix'
    each = a.columns if is_product else 1
    return _entries(product) * each + _ENTRY * (_entries(a) + _entries(b) + _entries(product))


def _product(a: _Factor, b: _Factor) -> _Factor:
    """Return the product of two factors."""
    kind = _kind(a, b)
    if a.form == b.form == 'matrix':
        assert isinstance(a.value, Node) and isinstance(b.value, Node)  # noqa: PT018, S101 as matrices are
        return kind._replace(value=matmul(a.value, b.value))
    if b.form != 'matrix' and (a.form != 'number' or b.form == 'number'):
        return kind._replace(value=a.value * _beside(b, a, 'row' if a.form == 'matrix' else a.form))
    return kind._replace(value=_beside(a, b, 'column' if b.form == 'matrix' else b.form) * b.value)


def _beside(scale: _Factor, other: _Factor, form: str) -> Node | float:
    """Return a diagonal in the form in which it is broadcast to the other factor."""
    x = scale.value
    if scale.form == 'number' or not isinstance(x, Node):
        return x
    if isinstance(other.value, Node) and other.form == 'matrix' and _rank(other.value) == _VECTOR:
        return x if _rank(x) == _VECTOR else reshape(x, -1)
    if scale.form == form:
        return x
    return unsqueeze(x, -1) if _rank(x) == _VECTOR else transpose(x, -2, -1)
