"""Instructions to draw programs from: each one line of torch, on values that are there already."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from hypothesis import strategies as st

__all__ = ['FLOW', 'KINDS', 'OF_USERS', 'Line', 'Pool']

# A line with places for its operands, and which values they are.
Line: TypeAlias = tuple[str, Sequence[int]]
Kind: TypeAlias = Callable[['Pool'], Line]

UNARY = (
    'torch.sin({0})', 'torch.cos({0})', 'torch.tanh({0})', 'torch.exp({0})', '-{0}', 'torch.relu({0})',
    'torch.sigmoid({0})', 'abs({0})', 'torch.square({0})', 'torch.floor({0})', 'torch.sgn({0})',
    'torch.sqrt(abs({0}) + 1)', 'torch.log(abs({0}) + 0.5)', 'torch.log1p(abs({0}))', 'torch.expm1({0})',
    '1 / ({0} * {0} + 1)', 'torch.reciprocal({0})', 'torch.rsqrt({0} * {0} + 0.5)', 'torch.erf({0})',
    'torch.atan({0})', 'torch.nn.functional.softplus({0})', 'torch.nn.functional.gelu({0})',
    'torch.nn.functional.silu({0})', 'torch.nn.functional.elu({0})', 'torch.nn.functional.hardtanh({0})',
    'torch.isfinite({0})', 'torch.logical_not({0})', 'torch.round({0})', 'torch.sign({0})',
    'torch.nan_to_num({0})', 'torch.clone({0})', '{0} ** 2', '{0} ** 3', 'abs({0}) ** 0.5',
    'torch.angle({0})', 'torch.detach({0})', 'torch.positive({0})', 'torch.sinh({0})', 'torch.exp2({0})',
    'torch.log({0})', 'torch.sqrt({0})', 'torch.trunc({0})', 'torch.frac({0})', 'torch.bitwise_not({0})',
    'torch.asinh({0})',
)  # fmt: skip
BINARY = (
    '{0} + {1}', '{0} - {1}', '{0} * {1}', '{0} / {1}', '{0} / ({1} * {1} + 1)', 'torch.maximum({0}, {1})',
    'torch.minimum({0}, {1})', '{0} > {1}', '{0} <= {1}', 'torch.eq({0}, {1})', 'torch.atan2({0}, {1})',
    'torch.hypot({0}, {1})', 'torch.logaddexp({0}, {1})', 'torch.where({0} > {1}, {0}, {1})',
    'torch.where({1} > 0, {0}, 0.0)', 'torch.add({0}, {1}, alpha=2)', 'torch.sub({0}, {1}, alpha=0.5)',
    'torch.addcmul({0}, {1}, {1})', 'torch.lerp({0}, {1}, 0.25)', 'torch.copysign({0}, {1})',
    'torch.logical_and({0}, {1})', 'torch.logical_xor({0}, {1})', '{0} // ({1} * {1} + 1)',
    'torch.remainder({0}, abs({1}) + 1)', 'torch.fmod({0}, abs({1}) + 1)', 'torch.xlogy({0}, abs({1}))',
    'torch.clamp({0}, max={1})', 'torch.nn.functional.mse_loss({0}, {1})',
    'torch.masked_fill({0}, {1} > 0, 2)', '({0} + {1}) * ({0} + {1})', '{0} * {1} + {0}',
    'torch.complex({0}, {1})', 'sum_to_like({0} + {1}, {0})', 'torch.fmax({0}, {1})',
    'torch.heaviside({0}, {1})', 'torch.expand_copy({0}, {1}.shape)', '{0}.expand_as({0} + {1})',
    'torch.full_like({0}, 0.5) + {1}', 'torch.zeros_like({0}) + {1}', 'torch.ones_like({0}) * {1}',
    'torch.dist({0}, {1})', 'torch.broadcast_tensors({0}, {1})',
)  # fmt: skip
WITH_NUMBER = (
    '{0} + {c}', '{c} - {0}', '{0} - {c}', '{0} * {c}', '{c} / {0}', '{0} / {c}', '{0} > {c}',
    'torch.clamp({0}, -1.0, 0.75)', 'torch.maximum({0}, torch.tensor({c}))',
    'torch.where({0} > {c}, {0}, {c})', 'torch.where({0} > {c}, {c}, -{0})', '{c} * {0} * {c}',
    '{0} + {c} + {c}', 'torch.pow({0}, {c})', 'torch.full_like({0}, {c})',
    'torch.nn.functional.threshold({0}, {c}, 0.5)', '{0} * 1.0', '{0} + 0.0',
    'torch.nn.functional.leaky_relu({0}, {c})', 'torch.rsub({0}, {c})',
)  # fmt: skip
NUMBERS = ('0.5', '2.0', '-1.25', '3.0', '1.0', '0.0', '-0.0', '2')
# With an axis.
ALONG = (
    'torch.sum({0}, {d})', 'torch.mean({0}, {d})', 'torch.amax({0}, {d})',
    'torch.amin({0}, {d}, keepdim=True)', 'torch.sum({0}, {d}, keepdim=True)',
    'torch.var({0}, {d}, correction=0)', 'torch.logsumexp({0}, {d})', 'torch.softmax({0}, {d})',
    'torch.log_softmax({0}, {d})', 'torch.cumsum({0}, {d})', 'torch.prod({0}, {d})',
    'torch.cumprod({0}, {d})', 'torch.argmax({0}, {d})', 'torch.max({0}, {d})', 'torch.sort({0}, {d})',
    'torch.median({0}, {d})', 'torch.any({0}, {d})', 'torch.all({0}, {d})', 'torch.aminmax({0}, dim={d})',
    'torch.linalg.vector_norm({0}, 2, {d})', 'torch.std({0}, {d})', 'torch.var_mean({0}, {d})',
    'torch.flip({0}, ({d},))', 'torch.roll({0}, 1, {d})', 'torch.select({0}, {d}, 0)',
    'torch.select({0}, {d}, -1)', 'torch.unsqueeze({0}, {d})', 'torch.movedim({0}, {d}, 0)',
    'torch.transpose({0}, {d}, -1)', 'torch.narrow({0}, {d}, 0, 1)', 'torch.chunk({0}, 2, {d})',
    'torch.split({0}, 2, {d})', 'torch.unbind({0}, {d})', 'torch.cat([{0}, {0}], {d})',
    'torch.cat([{0}, torch.sin({0})], {d})', 'torch.stack([{0}, {0}], {d})', 'torch.squeeze({0}, {d})',
    'torch.gather({0}, {d}, torch.argsort({0}, {d}))',
    'torch.take_along_dim({0}, torch.argsort({0}, {d}), {d})',
    'torch.index_select({0}, {d}, torch.tensor([0, 0]))', 'torch.repeat_interleave({0}, 2, {d})',
    'torch.scatter_add({0}, {d}, torch.zeros_like({0}, dtype=torch.long), {0})',
    'torch.scatter({0}, {d}, torch.argsort({0}, {d}), {0})', 'torch.topk({0}, 1, {d})',
    'torch.unflatten({0}, {d}, (-1, 1))',
    'torch.index_add({0}, {d}, torch.tensor([0]), torch.narrow({0}, {d}, 0, 1))', 'torch.cummax({0}, {d})',
    'torch.logcumsumexp({0}, {d})', 'torch.diff({0}, dim={d})',
    'torch.index_fill({0}, {d}, torch.tensor([0]), 1.5)', '{0}.unfold({d}, 2, 1)', '{0}.unfold({d}, 1, 2)',
)  # fmt: skip
# Of the whole value, and forms that know its rank.
WHOLE = (
    'torch.sum({0})', 'torch.mean({0})', 'torch.amax({0})', 'torch.prod({0})', 'torch.var({0})',
    '{0}.reshape(-1)', 'torch.flatten({0})', '{0}[None]', '{0}[...]', '{0}[..., None]', 'torch.squeeze({0})',
    'torch.logsumexp({0}.reshape(-1), 0)', 'torch.norm({0})', 'torch.linalg.vector_norm({0})', '{0}.mT',
    '{0}[0]', '{0}[-1:]', '{0}[::2]', '{0}[1:]', '{0}[..., 0]', '{0}[..., :2]', '{0}[..., 1::2]',
    '{0}[[0, 0]]', '{0}[..., [0, -1]]', '{0}[torch.tensor([0])]', 'torch.tril({0})', 'torch.triu({0}, 1)',
    'torch.argmax({0})', 'torch.diagonal({0})', 'torch.diagonal({0}, 1, -2, -1)', 'torch.diag_embed({0})',
    'torch.rot90({0})', 'torch.conj({0})', 'torch.real({0})', 'torch.imag({0})', 'torch.view_as_real({0})',
    '{0}.expand(2, *{0}.shape)', 'torch.view_as_complex({0}.contiguous())', '{0}.expand(*{0}.shape[:-1], 3)',
    'torch.tile({0}, (2,))', '{0}.contiguous()', 'torch.zeros_like({0})', 'torch.ones_like({0})',
    '{0}.repeat(2, *[1] * {0}.ndim)', 'torch.nn.functional.pad({0}, (1, 1))',
    'torch.nn.functional.pad({0}, (1, 0), value=0.5)', 'torch.nn.functional.layer_norm({0}, {0}.shape[-1:])',
    'torch.nn.functional.normalize({0}, dim=-1)', 'torch.trace({0})', 'torch.linalg.det({0})',
    'torch.as_strided(torch.clone({0}.reshape(-1)), (2, 2), (1, 1))',
    'torch.as_strided(torch.clone({0}.reshape(-1)), (2,), (1,), 1)',
    'torch.count_nonzero({0})', 'torch.resolve_conj({0})', '{0}.T', 'torch.atleast_2d({0})', '{0}.H',
    'torch.adjoint({0})', 'torch.permute({0}, tuple(range({0}.ndim))[::-1])',
    'torch.linalg.inv({0} @ {0}.mT + 3 * torch.eye({0}.shape[-1], dtype={0}.dtype))',
    'torch.linalg.cholesky({0} @ {0}.mT + 3 * torch.eye({0}.shape[-1], dtype={0}.dtype))',
)  # fmt: skip
USERS = (
    'echo({0})', 'window({0})', 'keeper({0})', 'halves({0})', 'alias({0})', 'echo(echo({0}))',
    'torch.detach({0})',
)  # fmt: skip
CASTS = (
    '{0}.to(torch.float32)', '{0}.to(torch.float64)', '{0}.to(torch.complex128)', '{0}.to(torch.int64)',
    '{0}.bool()', '{0}.to(torch.complex64)', '{0}.float()', '{0}.double()',
)  # fmt: skip
PRODUCTS = (
    'torch.matmul({0}, {1})', '{0} @ {1}', '({0} @ {1}) * 0.5', 'torch.tanh({0} @ {1})', '({0} @ {1}).mT',
    '{0} @ {1} + {0} @ {1}', "torch.einsum('...ij,...jk->...ik', {0}, {1})", '{1}.mT @ {0}.mT',
    'torch.nn.functional.linear({0}, {1}.mT)',
)  # fmt: skip
PAIRS = (
    'torch.outer({0}, {1})', 'torch.dot({0}, {1})', 'torch.kron({0}, {1})', 'torch.matmul({0}, {1})',
    'torch.mv({0}, {1})', 'torch.bmm({0}, {1})', 'torch.tensordot({0}, {1}, 1)', '{0} @ {1}.mT',
    '{0}.mT @ {1}', 'torch.inner({0}, {1})', 'torch.cat([{0}, {1}])', 'torch.cat([{0}, {1}], -1)',
    'torch.stack([{0}, {1}])', 'torch.addmm({0}, {1}, {1})', 'torch.baddbmm({0}, {1}, {1})',
    'torch.cdist({0}, {1})', 'torch.hstack([{0}, {1}])', 'torch.select_scatter({0}, {1}, 0, 0)',
    'torch.slice_scatter({0}, {1}, 0, 0, 1)', 'torch.nn.functional.conv1d({0}, {1})',
    'torch.linalg.solve({0} @ {0}.mT + torch.eye(len({0}), dtype={0}.dtype), {1})',
    'torch.diagonal_scatter({0}, {1})', "torch.einsum('i,j->ij', {0}, {1})",
    "torch.einsum('ij,kj->ik', {0}, {1})",
    'torch.index_put({0}, (torch.tensor([0, 0]),), {1}, accumulate=True)', 'torch.vdot({0}, {1})',
    'torch.linalg.multi_dot([{0}, {1}, {0}])', '{0}[{1} > 0]',
)  # fmt: skip
FLOW_LINES = (
    'scan(lambda c, x: (torch.tanh(c + x), c * x), {0}[0], {0})',
    'scan(lambda c, x: (c * 0.5 + x, c), {0}[0], {0})',
    'cond(torch.sum({0}) > 0, lambda x: x * 2, lambda x: torch.sin(x), {0})',
    'cond(torch.sum({0}) > 0, lambda x: x, lambda x: -x, {0})',
)  # fmt: skip


class Pool:
    """The values that a program has so far.

    Parameters
    ----------
    draw
        Of Hypothesis.
    values
        What torch computed for each line.
    """

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], values: Sequence[torch.Tensor]) -> None:
        self.draw = draw
        self.values = values

    def one(self, *, real: bool = False, fits: Callable[[torch.Tensor], bool] | None = None) -> int:
        """Draw a value, often of the latest, so that there are chains in which values die at once."""
        found = [
            i
            for i, v in enumerate(self.values)
            if (not real or v.is_floating_point()) and (fits is None or fits(v))
        ]
        found = found or [len(self.values) - 1]
        recent = found[-1 : -1 - self.of((1, 3, len(found))) : -1]
        return self.of(recent)

    def of(self, choices: Sequence[Any]) -> Any:
        """Draw one of several things; the first is the simplest."""
        return self.draw(st.sampled_from(choices)) if len(choices) > 1 else choices[0]


def on_one(lines: Sequence[str], *, real: bool = False) -> Kind:
    """Lines of one operand, some with an axis or a number."""

    def drawn(pool: Pool) -> Line:
        i, line = pool.one(real=real), pool.of(lines)
        if '{d}' in line:
            line = line.replace('{d}', str(pool.draw(st.integers(0, max(pool.values[i].ndim - 1, 0)))))
        return line.replace('{c}', pool.of(NUMBERS)), [i]

    return drawn


def broadcasting(pool: Pool) -> Line:
    """Two values that broadcast, in either order."""
    i = pool.one()
    shape = pool.values[i].shape
    j = pool.one(fits=lambda v: broadcasts(v.shape, shape))
    return pool.of(BINARY), pool.of(([i, j], [j, i]))


def broadcasts(a: Sequence[int], b: Sequence[int]) -> bool:
    return all(s == t or 1 in {s, t} for s, t in zip(reversed(a), reversed(b), strict=False))


def product(pool: Pool) -> Line:
    """Two values whose inner sizes agree."""
    i = pool.one(fits=lambda v: v.ndim > 1)
    a = pool.values[i]
    j = pool.one(fits=lambda v: v.dtype == a.dtype and v.shape[-2:-1] == a.shape[-1:])
    return pool.of(PRODUCTS), [i, j]


def of_like_dtype(pool: Pool) -> Line:
    """Two values of one dtype, whatever their shapes."""
    i = pool.one()
    j = pool.one(fits=lambda v: v.dtype == pool.values[i].dtype and v.ndim > 0)
    return pool.of(PAIRS), [i, j]


def reshaped(pool: Pool) -> Line:
    """Another shape of as many entries."""
    i = pool.one()
    count = pool.values[i].numel()
    rows = pool.of([n for n in (1, 2, 3, 4, 6) if count % n == 0])
    form = pool.of(('({r}, -1)', '(-1, {r})', '({r}, 1, -1)')) if count else '(0,)'
    return f'{{0}}.reshape{form.format(r=rows)}', [i]


KINDS: tuple[Kind, ...] = (
    on_one(UNARY, real=True), on_one(UNARY), broadcasting, broadcasting, on_one(WITH_NUMBER),
    on_one(WITH_NUMBER, real=True), on_one(ALONG), on_one(ALONG), on_one(WHOLE), on_one(WHOLE), product,
    of_like_dtype, reshaped, on_one(CASTS),
)  # fmt: skip
OF_USERS = on_one(USERS)
FLOW = on_one(FLOW_LINES, real=True)
