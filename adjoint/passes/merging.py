"""Many small products as one large: of operands that share the other, and of terms of one sum.

A call of a kernel costs as much as some ten thousand multiplications. A recurrent network that is written
out, step by step, multiplies each of its inputs by one matrix, and its gradient is a sum with one product for
each step.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.arithmetic import add
from adjoint.ops.contraction import matmul
from adjoint.ops.index import getitem
from adjoint.ops.reduction import reduction_attrs, sum_
from adjoint.ops.shape import cat, reshape, transpose
from adjoint.passes.facts import dtype_of, shape_of
from adjoint.passes.walk import Walked, replaced

__all__ = ['merged']

# By what a node is replaced: nodes that may be built on nodes that are replaced themselves.
_Becomes: TypeAlias = dict[Node, Node]

_MATRIX = 2
# Below this many multiplications, a call costs more than the product.
_SMALL = 1 << 20
# A sum of fewer terms is left as it is.
_FEWEST = 4
# How many times the entries of an operand must be used to make copying it worth while.
_WORTH = 4


def merged(nodes: Iterable[Node]) -> Walked:
    """Compute products that share an operand as one, and sums of products as one product.

    The values are as close to the true ones, and rounded in another way.

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
    >>> x, y = (ad.Variable(n, (2, 3), torch.float64) for n in 'xy')
    >>> w = ad.Variable('w', (3, 5), torch.float64)
    >>> print(ad.to_text(merged([x @ w, y @ w]).nodes))
    x: float64[2, 3]
    y: float64[2, 3]
    w: float64[3, 5]
    v1 = cat(x, y, dim=0)
    v2 = v1 @ w
    v3 = v2[0:2]   # output 0
    v4 = v2[2:4]   # output 1
    """
    wanted = list(nodes)
    applied = 0
    for find in (_sums, _sharing_right, _sharing_left):
        becomes = _located(find, topological_sort(wanted), wanted)
        applied += len(becomes)
        if becomes:
            wanted = replaced(wanted, becomes)
    return Walked(wanted, applied=applied)


_Finder: TypeAlias = Callable[[Sequence[Node], Sequence[Node]], _Becomes]


def _located(find: _Finder, order: Sequence[Node], outputs: Sequence[Node]) -> _Becomes:
    outside = ambient_site()
    try:
        return find(order, outputs)
    finally:
        leave_sites(outside)


# -- products that share an operand ------------------------------------------------------------------


def _levels(order: Sequence[Node]) -> dict[Node, int]:
    """Return how many products at most lie one behind the other on the way to each node.

    Of two products of one level, none needs the other.
    """
    levels: dict[Node, int] = {}
    for node in order:
        level = max((levels[x] for x in node.inputs), default=0)
        levels[node] = level + 1 if node.op is matmul else level
    return levels


def _groups(order: Sequence[Node], shared: int) -> list[list[Node]]:
    """Return products of one level that have the operand at a position in common."""
    levels = _levels(order)
    found: defaultdict[tuple[Node, int], list[Node]] = defaultdict(list)
    for node in order:
        if node.op is matmul and dtype_of(node) is not None and _is_static(node):
            found[node.inputs[shared], levels[node]].append(node)
    return [group for group in found.values() if len(group) > 1]


def _is_static(product: Node) -> bool:
    a, b = product.inputs
    shapes = shape_of(a), shape_of(b)
    return None not in shapes and len(shapes[0] or ()) >= _MATRIX and len(shapes[1] or ()) == _MATRIX


def _sharing_right(order: Sequence[Node], outputs: Sequence[Node]) -> _Becomes:
    """Merge ``a @ w`` and ``b @ w`` for small matrices ``a`` and ``b``: their rows, one below the other.

    What is added to each, ``a @ w + c + bias``, is added to all at once.
    """
    becomes: _Becomes = {}
    only = _only_users(order, outputs)
    for group in _groups(order, 1):
        small = [y for y in group if len(y.inputs[0].shape) == _MATRIX and _multiplications(y) < _SMALL]
        if len(small) < 2 or small[0].shape[1] < _WORTH:  # noqa: PLR2004 there is nothing to merge
            continue
        enter_site(small[0].site)
        rows, places = _joined_rows([y.inputs[0] for y in small])
        whole, parts = matmul(rows, small[0].inputs[1]), [small[i] for i in places]
        biased = [_biased(y, only) for y in parts]
        biases = {found.bias for found in biased if found is not None}
        if None in biased or len(biases) > 1:
            becomes |= _cut(whole, parts, 0)
            continue
        pieces = _cut(add(whole, biases.pop()), parts, 0)
        for y, found in zip(parts, biased, strict=True):
            assert found is not None  # noqa: S101 as just seen
            enter_site(found.total.site)
            becomes[found.total] = pieces[y] if found.other is None else add(found.other, pieces[y])
    return becomes


class _Biased(NamedTuple):
    """``product + bias``, or ``product + other + bias``."""

    total: Node
    other: Node | None
    bias: Node


def _only_users(order: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, Node]:
    """Return what uses each value that is used once, and not returned."""
    uses = Counter(x for node in order for x in node.inputs) + Counter(outputs)
    return {x: node for node in order for x in node.inputs if uses[x] == 1}


def _biased(product: Node, only: dict[Node, Node]) -> _Biased | None:
    """Return the sum with a row that a product is used for alone, if it is."""
    first = only.get(product)
    second = None if first is None else only.get(first)
    for total, inner in ((first, product), (second, first)):
        if total is None or inner is None or total.op is not add or len(total.inputs) == 1:
            continue
        bias = total.inputs[0] if total.inputs[1] is inner else total.inputs[1]
        is_row = shape_of(bias) == product.shape[1:] and dtype_of(bias) == dtype_of(product)
        if not is_row or not _alike(inner, total):
            continue
        if inner is product:
            return _Biased(total, None, bias)
        if inner.op is add and len(inner.inputs) > 1:
            other = inner.inputs[0] if inner.inputs[1] is product else inner.inputs[1]
            return _Biased(total, other, bias)
    return None


def _sharing_left(order: Sequence[Node], _: Sequence[Node]) -> _Becomes:
    """Merge ``x @ a`` and ``x @ b`` where ``x`` has many rows: ``a`` and ``b`` side by side."""
    becomes: _Becomes = {}
    for group in _groups(order, 0):
        x = group[0].inputs[0]
        rows = x.numel() // max(x.shape[-1], 1)
        if rows < _WORTH * x.shape[-1]:
            continue
        enter_site(group[0].site)
        whole = matmul(x, cat([y.inputs[1] for y in group], 1))
        becomes |= _cut(whole, group, -1)
    return becomes


def _multiplications(product: Node) -> int:
    return product.numel() * product.inputs[0].shape[-1]


def _cut(whole: Node, parts: Sequence[Node], axis: int) -> _Becomes:
    """Return the piece of a whole that each part is, one after the other along an axis."""
    becomes: _Becomes = {}
    start = 0
    for part in parts:
        stop = start + part.shape[axis]
        piece = slice(start, stop)
        enter_site(part.site)
        becomes[part] = getitem(whole, (piece,) if axis == 0 else (..., piece))
        start = stop
    return becomes


def _joined_rows(parts: Sequence[Node]) -> tuple[Node, list[int]]:
    """Return matrices one below the other, and in which order: one in which they lie so already, if any."""
    places = list(range(len(parts)))
    numbers = [n for x in parts if (n := _slice_number(x)) is not None]
    if len(numbers) == len(parts) and len({x.inputs[0] for x in parts}) == 1:
        whole = parts[0].inputs[0]
        places.sort(key=numbers.__getitem__)
        if [numbers[i] for i in places] == list(range(whole.shape[0])):
            return reshape(whole, -1, whole.shape[-1]), places
    return cat([parts[i] for i in places], 0), places


def _slice_number(x: Node) -> int | None:
    """Return ``i`` of ``whole[i]``, for a whole of three known sizes."""
    if x.op is not getitem or len(x.inputs) > 1:
        return None
    index = x.attrs['index']
    shape = shape_of(x.inputs[0])
    if len(index) != 1 or not isinstance(index[0], int) or shape is None or len(shape) != _MATRIX + 1:
        return None
    return index[0] % shape[0]


# -- sums of products --------------------------------------------------------------------------------


def _sums(order: Sequence[Node], outputs: Sequence[Node]) -> _Becomes:
    """Merge ``a.T @ b + c.T @ d`` into one product, and the sums of rows in one sum likewise."""
    uses = Counter(x for node in order for x in node.inputs) + Counter(outputs)
    position = {node: i for i, node in enumerate(order)}
    sums = (node for node in order if _is_sum(node))
    inner = {x for y in sums for x in y.inputs if _is_sum(x) and uses[x] == 1 and _alike(x, y)}
    becomes: _Becomes = {}
    for node in order:
        if not _is_sum(node) or node in inner or shape_of(node) is None:
            continue
        terms = _terms(node, inner)
        if len(terms) < _FEWEST:
            continue
        enter_site(node.site)
        alone = [t for t in terms if uses[t] == 1 and _alike(t, node)]
        total = _joined_terms(terms, alone, position)
        if total is not None:
            becomes[node] = total
    return becomes


def _is_sum(x: Node) -> bool:
    return x.op is add and len(x.inputs) > 1


def _alike(x: Node, y: Node) -> bool:
    """Whether two values are known to be of one shape and dtype."""
    return shape_of(x) == shape_of(y) is not None and dtype_of(x) == dtype_of(y)


def _terms(node: Node, inner: set[Node]) -> list[Node]:
    """Return what a tree of sums adds up."""
    terms: list[Node] = []
    stack = [node]
    while stack:
        y = stack.pop()
        if y is node or y in inner:
            stack.extend(reversed(y.inputs))
        else:
            terms.append(y)
    return terms


def _joined_terms(terms: Sequence[Node], alone: Sequence[Node], position: dict[Node, int]) -> Node | None:
    """Return the sum of terms with those merged that stand alone, or ``None`` where none can be."""
    products = [t for t in alone if _is_outer(t)]
    sums = [t for t in alone if _is_sum_of_rows(t)]
    # In the order of the steps, where the terms are those of a loop that was differentiated.
    products.sort(key=lambda t: -position[t.inputs[1]])
    sums.sort(key=lambda t: -position[t.inputs[0]])
    found: list[Node] = []
    if len(products) >= _FEWEST:
        left, places = _joined_rows([t.inputs[0].inputs[0] for t in products])
        right = cat([products[i].inputs[1] for i in places], 0)
        found.append(matmul(transpose(left, 0, 1), right))
    else:
        products = []
    if len(sums) >= _FEWEST:
        found.append(Node([cat([t.inputs[0] for t in sums], 0)], sum_, reduction_attrs([0], keepdim=False)))
    else:
        sums = []
    if not found:
        return None
    taken = {*products, *sums}
    total = found[0]
    for term in [*found[1:], *(t for t in terms if t not in taken)]:
        total = add(total, term)
    return total


def _is_outer(y: Node) -> bool:
    """Whether a term is ``a.T @ b`` for matrices of few rows."""
    if y.op is not matmul or y.inputs[0].op is not transpose:
        return False
    a, b = y.inputs
    if not _is_static(y) or len(a.shape) != _MATRIX or dtype_of(y) is None:
        return False
    # Both operands are copied, which should not cost more than the sum.
    return b.shape[0] * (a.shape[0] + b.shape[1]) <= 2 * a.shape[0] * b.shape[1]


def _is_sum_of_rows(y: Node) -> bool:
    if y.op is not sum_ or y.attrs['keepdim'] or len(shape_of(y.inputs[0]) or ()) != _MATRIX:
        return False
    return y.attrs['dim'] in {0, (0,)} and dtype_of(y) == dtype_of(y.inputs[0])
