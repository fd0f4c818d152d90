"""The table of functions that every transform is compared with torch on, in float64.

Most are written with functions of torch, and run on tensors and on nodes alike. Where torch's own names are
not functions on nodes, ``ours`` is the same function with the ops.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils import _pytree as pytree

from adjoint.ops.convolution import convolution
from adjoint.ops.factorisation import cholesky
from adjoint.ops.linalg import solve

linalg: Any = torch.linalg


@dataclass(frozen=True)
class Case:
    """A function with its arguments, all of which are differentiated by.

    Parameters
    ----------
    function
        Of tensors; returns tensors, in any structure.
    arguments
        A tuple of tensors in nested tuples, lists and dicts.
    ours
        The same function on nodes, where it is written in another way.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    ours: Callable[..., Any] | None = None

    @property
    def on_nodes(self) -> Callable[..., Any]:
        return self.function if self.ours is None else self.ours

    @property
    def is_complex(self) -> bool:
        return any(x.is_complex() for x in pytree.tree_leaves(self.arguments))


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drawn_like(tree: Any, seed: int = 0) -> Any:
    """Numbers in the structure of a tree."""
    leaves, structure = pytree.tree_flatten(tree)
    return pytree.tree_unflatten(
        [drawn(*x.shape, seed=seed + i, dtype=x.dtype) for i, x in enumerate(leaves)], structure
    )


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a real scalar function: a sum of squares of everything that a function returns."""

    def scalar(*args: Any) -> Any:
        leaves = pytree.tree_leaves(function(*args))
        parts = [
            (torch.real(y * torch.conj(y)) * (i + 1)).sum() + torch.real(y).sum()
            for i, y in enumerate(leaves)
        ]
        return sum(parts[1:], parts[0])

    return scalar


def _positive(n: int) -> torch.Tensor:
    a = drawn(n, n, seed=7)
    return a @ a.mT + n * torch.eye(n, dtype=torch.float64)


def _elementwise(x: Any) -> Any:
    return torch.sin(x) * torch.exp(-x * x) + torch.tanh(x) / (2 + torch.cos(x)) + torch.sigmoid(x) ** 3


def _network(p: Any, x: Any) -> Any:
    h = torch.tanh(x @ p['w'] + p['b'])
    return F.softplus(h @ p['v'][0]) * p['v'][1]


def _cross_entropy(w: Any, x: Any) -> Any:
    return F.cross_entropy(x @ w, torch.tensor([2, 0, 1, 2]))


def _norm(x: Any) -> Any:
    return torch.sqrt((x * x).sum(-1)) + x.std(-1) * x.var(-1)


def _indexing(x: Any) -> Any:
    return x[[2, 0, 2], 1:] * x[1, 1:] + torch.gather(x, 1, torch.tensor([[0, 2], [1, 1], [2, 0]]))


def _where(x: Any) -> Any:
    return torch.where(x > 0.1, x**3, torch.sin(x)) + torch.clamp(x, -0.5, 0.7) * x + torch.maximum(x, x.mT)


def _cumulative(x: Any) -> Any:
    return torch.cumsum(x * x, 0) * torch.cumprod(x, 1) + torch.flip(x, [0])


def _shapes(x: Any, y: Any) -> Any:
    joined = torch.cat([x, y.transpose(0, 1)], 0).reshape(-1, 2)
    return torch.stack([joined, joined**2], 1).permute(2, 0, 1).sum(0) + x[0, :2]


def _structured(p: Any, q: Any) -> Any:
    (a, b), c = p['pair'], p['c']
    return {'s': (a * b).sum() + c, 't': (q[0] @ a, [a[:, None] * b])}


def _our_normalised(x: Any, w: Any) -> Any:
    y = F.layer_norm(x, (4,), w, None, 1e-3)
    return torch.softmax(y @ y.mT, -1) @ x + torch.log_softmax(x, 0)


def _normalised(x: Any, w: Any) -> Any:
    # Not by layer_norm: torch 2.13 gives the Hessian of that, batched, with a block that is not symmetric.
    centred = x - x.mean(-1, keepdim=True)
    y = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-3) * w
    return torch.softmax(y @ y.mT, -1) @ x + torch.log_softmax(x, 0)


def _solve(a: Any, b: Any) -> Any:
    return linalg.solve(a, b)


def _cholesky(a: Any) -> Any:
    return linalg.cholesky((a + a.mT) / 2)


def _our_cholesky(a: Any) -> Any:
    return cholesky((a + a.mT) / 2)


def _complex(z: Any) -> Any:
    return torch.exp(z) * z - torch.sin(z[0]) / (3 + z)


def _of_complex(z: Any, x: Any) -> Any:
    return torch.abs(z) * x + torch.real(z * torch.conj(z) * z) + torch.angle(z) * x


def _to_complex(x: Any) -> Any:
    return torch.exp(1j * x) * (x + 2j)


def _convolution(x: Any, w: Any, b: Any) -> Any:
    return torch.tanh(F.conv2d(x, w, b, stride=(1, 2), padding=1))


def _our_convolution(x: Any, w: Any, b: Any) -> Any:
    return torch.tanh(convolution(x, w, b, stride=(1, 2), padding=(1, 1)))


PARAMETERS = {'w': drawn(3, 4), 'b': drawn(4, seed=1), 'v': (drawn(4, 2, seed=2), drawn(2, seed=3))}
C128 = torch.complex128

CASES: dict[str, Case] = {
    'scalar': Case(lambda x: torch.sin(x) * x**2, (drawn(),)),
    'elementwise': Case(_elementwise, (drawn(3),)),
    'broadcast': Case(lambda x, y: x * y + x / (2 + y * y), (drawn(3, 1), drawn(1, 2, seed=1))),
    'network': Case(_network, (PARAMETERS, drawn(2, 3, seed=5))),
    'cross entropy': Case(_cross_entropy, (drawn(3, 3), drawn(4, 3, seed=1))),
    'norm': Case(_norm, (drawn(2, 4),)),
    'indexing': Case(_indexing, (drawn(3, 3),)),
    'where': Case(_where, (drawn(3, 3),)),
    'cumulative': Case(_cumulative, (drawn(3, 3),)),
    'shapes': Case(_shapes, (drawn(2, 3), drawn(3, 2, seed=1))),
    'structured': Case(
        _structured,
        ({'pair': (drawn(3), drawn(3, seed=1)), 'c': drawn(seed=2)}, [drawn(2, 3, seed=3)]),
    ),
    'normalised': Case(_normalised, (drawn(3, 4), drawn(4, seed=1)), _our_normalised),
    'solve': Case(_solve, (_positive(3), drawn(3, 2)), solve),
    'cholesky': Case(_cholesky, (_positive(3),), _our_cholesky),
    'convolution': Case(
        _convolution, (drawn(2, 2, 3, 4), drawn(3, 2, 2, 2, seed=1), drawn(3, seed=2)), _our_convolution
    ),
    'unused': Case(lambda x, y: {'x': x * 2, 'fixed': x.sum() * 0 + 1}, (drawn(2), drawn(3, seed=1))),
    'as it is': Case(lambda x, y: (x, y * 1, x), (drawn(2), drawn(3, seed=1))),
    'linear': Case(lambda x: x @ torch.ones(3, 2, dtype=torch.float64), (drawn(2, 3),)),
    'complex': Case(_complex, (drawn(3, dtype=C128),)),
    'of complex': Case(_of_complex, (drawn(3, dtype=C128), drawn(3))),
    'to complex': Case(_to_complex, (drawn(3),)),
}


def seed_of(name: str) -> int:
    """Return a number that belongs to a name, the same in every run."""
    return zlib.crc32(name.encode()) % 1000
