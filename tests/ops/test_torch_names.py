"""Every function and method of torch that means an op of ours: on nodes it gives what torch gives.

The samples are those of torch's own tests, with options by keyword and again by position; what they leave
out is written here.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

import adjoint as ad
from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.table import TORCH_FUNCTIONS

Call = tuple[Sequence[Any], Mapping[str, Any]]

SAMPLES = 8  # of one function with one dtype


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


IDS = torch.tensor([[0, 2], [1, 2]])
X, Y = drawn(2, 3), drawn(3, 3)[:2]
LOGITS, CLASSES = drawn(4, 3), torch.tensor([0, 2, 1, 1])

# Calls that torch's samples lack.
BY_HAND: dict[Callable[..., Any], list[Call]] = {
    F.embedding: [((IDS, drawn(5, 3)), {}), ((), {'input': IDS, 'weight': drawn(5, 3)})],
    torch.embedding: [((drawn(5, 3), IDS), {})],
    torch.polygamma: [((1, X.abs()), {})],
    torch.Tensor.__floordiv__: [((X, Y), {}), ((X, 0.5), {})],
    torch.Tensor.__mod__: [((X, Y), {}), ((X, 0.5), {})],
    torch.Tensor.__and__: [((X > 0, Y > 0), {})],
    torch.Tensor.__or__: [((X > 0, Y > 0), {})],
    torch.Tensor.__xor__: [((X > 0, Y > 0), {})],
    torch.Tensor.__invert__: [((X > 0,), {})],
    torch.special.polygamma: [((2, X.abs()), {})],
    torch.Tensor.polygamma: [((X.abs(), 1), {})],
    torch.where: [((X > 0, X, Y), {}), ((), {'condition': X > 0, 'input': X, 'other': Y})],
    torch.Tensor.where: [((X, Y > 0, Y), {})],
    torch.convolution: [((drawn(1, 2, 5), drawn(3, 2, 2), None, (2,), (1,), (1,), False, (0,), 1), {})],
    F.affine_grid: [((drawn(1, 2, 3), (1, 1, 2, 2)), {}), ((drawn(1, 2, 3), (1, 1, 2, 2), True), {})],
    torch.cholesky: [((Y.T @ Y + torch.eye(3),), {})],
    torch.Tensor.cholesky: [((Y.T @ Y + torch.eye(3),), {})],
    torch.slogdet: [((drawn(3, 3),), {})],
    torch.Tensor.slogdet: [((drawn(3, 3),), {})],
    torch.index_add: [((X, 0, torch.tensor([1, 1]), Y), {})],
    torch.Tensor.index_add: [((X, 0, torch.tensor([1, 1]), Y), {})],
    torch.std: [((X, 1, True), {}), ((X, 1, False), {}), ((X, False), {}), ((X, 1, False, True), {})],
    torch.var: [((X, 1, True), {}), ((X, 1, False), {}), ((X, False), {}), ((X, 1, False, True), {})],
    torch.Tensor.std: [((X, 1, True), {}), ((X, False), {})],
    torch.Tensor.var: [((X, 1, True), {}), ((X, False), {})],
    torch.flip: [((X, (0, 1)), {})],
    torch.Tensor.flip: [((X, (0, 1)), {}), ((X, 0, 1), {})],
    torch.nonzero: [((X,), {})],
    torch.Tensor.nonzero: [((X,), {})],
    torch.pixel_shuffle: [((drawn(1, 4, 2, 2), 2), {})],
    torch.pixel_unshuffle: [((drawn(1, 1, 4, 4), 2), {})],
    torch.detach: [((X,), {})],
    torch.Tensor.detach: [((X,), {})],
    torch.numel: [((X,), {})],
    torch.Tensor.numel: [((X,), {})],
    torch.Tensor.type_as: [((X, X.to(torch.float32)), {})],
    torch.Tensor.to: [((X, torch.float32), {}), ((X, X.to(torch.float32)), {})],
    F.softplus: [((X,), {}), ((X, 2.0), {}), ((X, 2.0, 0.5), {})],
    F.gelu: [((X,), {}), ((X,), {'approximate': 'tanh'})],
    F.cross_entropy: [
        ((LOGITS, CLASSES), {}),
        ((LOGITS[0], CLASSES[0]), {}),
        ((LOGITS, CLASSES, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)), {}),
        ((drawn(2, 3, 3), torch.tensor([[0, 1, 2], [2, 1, 1]])), {}),
    ],
    **{
        getattr(torch.Tensor, f'__{name}__'): [((Y, drawn(2, 2, 3)), {})]
        for name in ('add', 'radd', 'sub', 'rsub', 'mul', 'rmul', 'truediv', 'gt', 'ge', 'lt', 'le')
    },
    torch.Tensor.__pow__: [((X.abs(), Y), {})],
    torch.Tensor.__matmul__: [((X, Y.T), {})],
    torch.Tensor.__neg__: [((X,), {})],
    torch.Tensor.__abs__: [((X,), {})],
    torch.Tensor.__getitem__: [((X, (0, slice(1, 3))), {})],
}

# They make tensors of numbers alone, so that no call with a node reaches them.
OF_NUMBERS = {torch.full, torch.arange, torch.linspace, torch.logspace, torch.eye}


def infos() -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for op in op_db:
        functions = {f for known in (op, *op.aliases) for f in (known.op, known.method_variant)}
        for function in functions - {None}:
            found[function].append(op)
            found[getattr(function, '__name__', '')].append(op)
    return found


INFOS = infos()


def calls(function: Callable[..., Any]) -> Iterator[Call]:
    """The samples of a function, real and complex."""
    yield from BY_HAND.get(function, [])
    for op in INFOS.get(function) or INFOS.get(getattr(function, '__name__', ''), []):
        dtypes = [d for d in (torch.float64, torch.complex128) if op.supports_dtype(d, 'cpu')]
        for dtype in dtypes or [torch.int64 if op.supports_dtype(torch.int64, 'cpu') else torch.bool]:
            samples = [*op.sample_inputs('cpu', dtype)]
            for sample in samples[:: max(1, len(samples) // SAMPLES)]:
                args = (sample.input, *sample.args)
                yield args, sample.kwargs
                by_position = positional(function, args, sample.kwargs)
                if by_position is not None:
                    yield by_position, {}


def positional(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    """The same call without keywords, where the signature is written in Python."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None
    if not kwargs or bound.kwargs:
        return None
    return bound.args


def compare(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether torch and our op both take the call; fails where they give something else."""
    leaves, structure = pytree.tree_flatten((tuple(args), dict(kwargs)))
    leaves = [x.detach() if isinstance(x, torch.Tensor) else x for x in leaves]
    if not any(isinstance(x, torch.Tensor) for x in leaves):
        return False
    own, named = pytree.tree_unflatten(
        [x.clone() if isinstance(x, torch.Tensor) else x for x in leaves], structure
    )
    try:
        torch.manual_seed(0)
        wanted = pytree.tree_leaves(function(*own, **named))
    except (TypeError, RuntimeError, IndexError, ValueError):
        return False
    feed: dict[Node, torch.Tensor] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            leaves[i] = ad.Variable(f'x{i}', shape=leaf.shape, dtype=leaf.dtype)
            feed[leaves[i]] = leaf
    own, named = pytree.tree_unflatten(leaves, structure)
    try:
        made = pytree.tree_leaves(TORCH_FUNCTIONS[function](*own, **named))
    except (UnsupportedOpError, ad.ShapeError):
        return False
    assert len(made) == len(wanted)
    nodes = [n for n in made if isinstance(n, Node)]
    torch.manual_seed(0)
    values = iter(ad.Evaluator(nodes).run(feed) if nodes else [])
    got = [next(values) if isinstance(n, Node) else n for n in made]
    for a, b in zip(got, wanted, strict=True):
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10, equal_nan=True)
        else:
            assert a == b
    return True


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'function',
    [f for f in TORCH_FUNCTIONS if f not in OF_NUMBERS],
    ids=lambda f: getattr(f, '__qualname__', ''),
)
def test_a_function_of_torch_on_nodes_gives_what_torch_gives(function: Callable[..., Any]) -> None:
    taken = [compare(function, args, kwargs) for args, kwargs in calls(function)]
    assert any(taken), 'no call compares it: write one in BY_HAND'
    for (args, kwargs), is_taken in zip(BY_HAND.get(function, []), taken, strict=False):
        assert is_taken or refused_aloud(function, args, kwargs)


def refused_aloud(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the call goes to the import of programs, and gives what torch gives by it."""
    leaves, structure = pytree.tree_flatten((tuple(args), dict(kwargs)))
    feed: dict[Node, torch.Tensor] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            leaves[i] = ad.Variable(f'x{i}', shape=leaf.shape, dtype=leaf.dtype)
            feed[leaves[i]] = leaf
    own, named = pytree.tree_unflatten(leaves, structure)
    (got,) = ad.Evaluator([function(*own, **named)]).run(feed)
    torch.testing.assert_close(got, function(*args, **kwargs), rtol=1e-9, atol=1e-10)
    return True


@pytest.mark.parametrize(
    'call',
    [
        lambda x: F.embedding_bag(IDS, x),
        lambda x: F.interpolate(x[None], scale_factor=2.0),
        lambda x: F.unfold(x[None, None], 2),
        lambda x: torch.svd(x)[2].abs(),
    ],
)
def test_names_that_mean_something_else_there_are_imported(call: Callable[[Any], Any]) -> None:
    x, at = ad.Variable('x', shape=(3, 3), dtype=torch.float64), drawn(3, 3)
    (got,) = ad.Evaluator([call(x)]).run({x: at})
    torch.testing.assert_close(got, call(at), rtol=1e-9, atol=1e-10)


def test_methods_on_nodes_are_those_of_tensors() -> None:
    x, y = (ad.Variable(n, shape=(2, 3), dtype=torch.float64) for n in 'xy')
    made = [x.where(y > 0, y), x.polygamma(1), x.greater(y), x.std(1, True), x.div(y, rounding_mode='floor')]
    got = ad.Evaluator(made).run({x: X.abs(), y: Y})
    a = X.abs()
    wanted = [
        a.where(Y > 0, Y),
        a.polygamma(1),
        a.greater(Y),
        a.std(1, True),
        a.div(Y, rounding_mode='floor'),
    ]
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
