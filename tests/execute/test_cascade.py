"""Sums that are taken in parts have the bits of torch's kernel."""

from collections.abc import Iterator

import pytest
import torch

from adjoint.execute import cascade as module
from adjoint.execute.cascade import Cascade
from adjoint.execute.shares import shares

F32, F64 = torch.float32, torch.float64


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def drawn(entries: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Numbers of many sizes, whose sum is small: a wrong order shows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(entries, dtype=dtype, generator=generator)
    x *= torch.rand(entries, dtype=dtype, generator=generator).mul_(9).exp_()
    return x - x.mean()


def in_parts(x: torch.Tensor, cascade: Cascade, units: int) -> torch.Tensor:
    """The sum of the parts of so many units."""
    parts = [part for share in x.split(shares(len(x))) for part in share.split(units * cascade.unit)]
    return cascade.total(
        torch.cat([cascade.part(part, part.new_empty(cascade.kept(len(part)))) for part in parts]), len(x)
    )


@pytest.mark.parametrize('dtype', [F32, F64])
@pytest.mark.parametrize('threads', [1, 2, 3])
@pytest.mark.parametrize('units', [1, 5])
def test_parts_add_up_to_the_bits_of_the_kernel(dtype: torch.dtype, threads: int, units: int):
    torch.set_num_threads(threads)
    for seed, entries in enumerate([8192, 32767, 32768, 32769, 65537, 70_001, 131_072, 300_013, 1_000_001]):
        x = drawn(entries, dtype, seed)
        cascade = Cascade.of(dtype, entries)
        assert cascade is not None
        assert torch.equal(in_parts(x, cascade, units), x.sum())


def test_levels_grow_with_the_share():
    torch.set_num_threads(1)
    entries = 1 << 25
    x = drawn(entries, F32)
    cascade = Cascade.of(F32, entries)
    assert cascade is not None
    assert cascade.radix > 16
    assert torch.equal(in_parts(x, cascade, 3), x.sum())


@pytest.mark.parametrize('special', [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_what_the_kernel_makes_of_it(special: float):
    cascade = Cascade.of(F64, 40_000)
    assert cascade is not None
    for at in (0, 20_000, 39_999):
        x = drawn(40_000, F64)
        x[at] = special
        assert torch.allclose(in_parts(x, cascade, 1), x.sum(), rtol=0, atol=0, equal_nan=True)
    zeros = torch.full((40_000,), -0.0, dtype=F64)
    assert torch.equal(torch.signbit(in_parts(zeros, cascade, 1)), torch.signbit(zeros.sum()))


def test_where_the_order_is_not_known_there_is_no_cascade(monkeypatch: pytest.MonkeyPatch):
    """Of other dtypes, and on a machine whose kernel adds in another order."""
    assert Cascade.of(torch.float16, 100_000) is None
    assert Cascade.of(F32, 0) is None
    monkeypatch.setattr(module, '_BYTES', (8, 128))
    module._lanes.cache_clear()
    assert Cascade.of(F32, 100_000) is None
    module._lanes.cache_clear()


def test_shares_are_those_of_threads():
    torch.set_num_threads(3)
    assert shares(32_768) == [32_768]
    assert shares(65_537) == [21_846, 21_846, 21_845]
    assert shares(65_536) == [32_768, 32_768]
    assert shares(7, 32_768) == [3, 3, 1]
