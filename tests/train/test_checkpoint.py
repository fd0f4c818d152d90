"""Checkpoints: what comes back, and what is refused."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from adjoint.train import checkpoint, files
from adjoint.train.errors import RunError

TENSORS = {
    'scalar': torch.tensor(1.5, dtype=torch.float64),
    'matrix': torch.arange(6.0).reshape(2, 3).mT,
    'half': torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    'empty': torch.zeros(0, 4),
}
RECORD = {'step': 3, 'loss': 0.1 + 0.2, 'history': [{'epoch': 1}], 'result': None}


def test_tensors_and_record_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint'
    checkpoint.save(path, TENSORS, RECORD)
    tensors, record = checkpoint.load(path)
    assert record == RECORD
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
        # What was saved and what is loaded is laid out alike, so that kernels round alike.
        assert tensors[name].is_contiguous()
        assert tensors[name].data_ptr() % 64 == 0


def test_two_names_may_share_memory(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint'
    shared = torch.arange(3.0)
    checkpoint.save(path, {'now': shared, 'best': shared}, {})
    tensors, _ = checkpoint.load(path)
    tensors['now'] += 1
    assert torch.equal(tensors['best'], torch.arange(3.0))


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('part', [0.0, 0.1, 0.5, 0.999])
def test_truncated_checkpoint_is_refused(tmp_path: Path, part: float) -> None:
    path = tmp_path / 'checkpoint'
    checkpoint.save(path, TENSORS, RECORD)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    assert 'the checkpoint is corrupt' in refused(path)


def test_single_wrong_bit_in_the_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint'
    checkpoint.save(path, TENSORS, RECORD)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert 'does not match its checksum' in refused(path)


def test_changed_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint'
    checkpoint.save(path, TENSORS, RECORD)
    data = path.read_bytes()
    changed = data.replace(b'\\"step\\": 3', b'\\"step\\": 4')
    assert changed != data
    path.write_bytes(changed)
    assert 'does not match its checksum' in refused(path)


def test_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint'
    path.write_bytes(safetensors.torch.save({'weight': torch.zeros(2)}))
    assert 'not one of ours' in refused(path)


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    assert 'cannot be read' in refused(tmp_path / 'checkpoint')


def test_old_content_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'checkpoint'
    checkpoint.save(path, TENSORS, RECORD)

    def full(_: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(RunError, match='cannot be written: No space left on device'):
        checkpoint.save(path, TENSORS, {'step': 4})
    monkeypatch.undo()
    assert checkpoint.load(path)[1] == RECORD
    assert [file.name for file in tmp_path.iterdir()] == ['checkpoint']
