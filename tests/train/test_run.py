"""Run folders: made, found again, and protected."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adjoint.train import run
from adjoint.train.errors import RunError
from adjoint.train.records import EpochRecord


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=10 * epoch,
        train_loss=0.5,
        train_accuracy=0.9,
        validation_loss=0.25,
        validation_accuracy=0.95,
        rate=0.1,
        samples_per_second=100.0,
        seconds=1.0,
    )


def test_new_folder_is_named_by_time_and_model() -> None:
    first, second = run.create('mlp'), run.create('mlp')
    assert first.path.parent == Path('runs')
    assert first.path.name.endswith('-mlp')
    assert first.path != second.path
    assert list(first.path.iterdir()) == []


def test_given_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = run.create('mlp', tmp_path / 'a' / 'b')
    assert folder.path.is_dir()


def test_folder_with_a_run_in_it_is_refused(tmp_path: Path) -> None:
    folder = run.create('mlp', tmp_path / 'a')
    folder.write_config({})
    folder.close()
    with pytest.raises(RunError, match=r'holds a run already \(config\.json\); continue it with --res'):
        run.create('mlp', tmp_path / 'a')


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(RunError, match='a run cannot be kept here: Not a directory'):
        run.create('mlp', tmp_path / 'file' / 'run')


def test_folder_that_takes_no_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, data: bytes) -> int:
        raise PermissionError(13, 'Permission denied', str(path), data)

    monkeypatch.setattr(Path, 'write_bytes', denied)
    with pytest.raises(RunError, match='a run cannot be kept here: Permission denied'):
        run.create('mlp', tmp_path / 'a')


def test_newest_run_is_resumed() -> None:
    for name in ('2026-01-02-000000-mlp', '2026-01-01-000000-mlp', '2027-01-01-000000-mlp'):
        folder = run.create('mlp', Path('runs') / name)
        if not name.startswith('2027'):
            folder.write_config({'name': name})
        folder.close()
    # The newest folder holds no run: it was stopped before it began.
    assert run.resume().read_config() == {'name': '2026-01-02-000000-mlp'}


def test_nothing_to_resume_is_said() -> None:
    with pytest.raises(RunError, match='runs: holds no run; name the folder'):
        run.resume()
    with pytest.raises(RunError, match='nowhere: no such folder'):
        run.resume(Path('nowhere'))


def test_folder_without_settings_says_how_to_start(tmp_path: Path) -> None:
    folder = run.resume(tmp_path)
    with pytest.raises(RunError, match=r'holds no run \(config\.json is missing\).*--out'):
        folder.read_config()


@pytest.mark.parametrize('content', ['', '{"config"', '[1]', '\x00'])
def test_settings_that_are_not_json_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(RunError, match=r'config\.json: cannot be read'):
        run.resume(tmp_path).read_config()


def test_metrics_are_one_json_object_a_line(tmp_path: Path) -> None:
    folder = run.create('mlp', tmp_path / 'a')
    folder.write_metrics([record(1), record(2), record(3)])
    folder.write_metrics([record(1), record(2)])
    lines = (tmp_path / 'a' / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record(1), record(2)]


def test_half_written_files_are_removed_and_never_read(tmp_path: Path) -> None:
    folder = run.create('mlp', tmp_path / 'a')
    folder.write_config({'a': 1})
    folder.close()
    for name in run.ALL:
        (tmp_path / 'a' / f'.{name}.part').write_bytes(b'half')
    folder = run.resume(tmp_path / 'a')
    assert folder.load() is None
    assert [file.name for file in folder.path.iterdir()] == ['config.json']


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    folder = run.create('mlp', tmp_path / 'a')
    program = (
        'import sys; from pathlib import Path; from adjoint.train import run; run.resume(Path(sys.argv[1]))'
    )
    command = [sys.executable, '-c', program, str(tmp_path / 'a')]
    root = Path(__file__).parents[2]
    blocked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert 'another process is training here now' in blocked.stderr
    folder.close()
    subprocess.run(command, cwd=root, check=True)
