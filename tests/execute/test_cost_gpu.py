"""What sums take inside on a GPU is what was measured on one (an H200, by the allocations of torch)."""

from types import SimpleNamespace

import pytest
import torch

from adjoint.execute.cost_gpu import reduction_on_gpu


@pytest.fixture(autouse=True)
def h200(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(multi_processor_count=132, max_threads_per_multi_processor=2048)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda _: gpu)


def test_rows_that_several_blocks_of_threads_add_up() -> None:
    assert reduction_on_gpu(torch.empty(50, 28, 128), [2], 4) == 1_441_792


@pytest.mark.parametrize(
    ('shape', 'kept'), [((2048, 2048), [0]), ((3, 5), [1]), ((50, 10), [0]), ((0, 3), [1])]
)
def test_what_one_block_of_threads_adds_up_takes_nothing(shape: tuple[int, ...], kept: list[int]) -> None:
    assert reduction_on_gpu(torch.empty(shape), kept, 4) == 0
