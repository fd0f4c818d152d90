"""Runs from beginning to end, stopped anywhere and continued."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from adjoint.train import plots, run, session
from adjoint.train.config import Config
from adjoint.train.errors import RunError, SettingError
from adjoint.train.report import Silent
from tests.train.idx_files import NAMES, encode, write_mnist

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_mnist(tmp_path / 'data')
    return Config.of(model='logistic', data=str(tmp_path / 'data'), epochs=2, batch_size=16)


def ended(opened: session.Session) -> session.Session:
    opened.train(Silent(), lambda: False)
    opened.folder.close()
    return opened


def test_run_leaves_everything_it_promises(tmp_path: Path, config: Config) -> None:
    path = ended(session.begin(config, tmp_path / 'run')).folder.path
    assert {file.name for file in path.iterdir()} == set(run.ALL)
    content = json.loads((path / run.CONFIG).read_text())
    assert Config.from_json(content['config']) == config
    assert content['data']['train'] == 54
    assert content['versions']['torch'] == str(torch.__version__)
    lines = [json.loads(line) for line in (path / run.METRICS).read_text().splitlines()]
    assert [line['epoch'] for line in lines] == [1, 2]
    for name in (run.CURVES, run.CONFUSION):
        assert (path / name).read_bytes().startswith(b'\x89PNG')


def test_killed_at_any_moment_of_any_write_it_ends_alike(tmp_path: Path) -> None:
    if not hasattr(os, 'fork'):
        pytest.skip('needs fork')
    script = Path(__file__).with_name('kill_everywhere.py')
    done = subprocess.run(
        [sys.executable, '-W', 'error', script, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # Settings, metrics, two epochs with two checkpoints and the metrics, two pictures, the end.
    assert len(lines) == 4 * (2 + 2 * 3 + 2 + 2)
    assert [line for line in lines if not line.endswith(' same')] == []


def test_finished_run_stays_finished(tmp_path: Path, config: Config) -> None:
    first = ended(session.begin(config, tmp_path / 'run'))
    again = session.resume(run.resume(first.folder.path), {})
    assert again.state.result is not None
    assert again.state.result['reason'] == 'all 2 epochs done'


def stopped(tmp_path: Path, config: Config) -> Path:
    opened = session.begin(config, tmp_path / 'run')
    opened.train(Silent(), lambda: True)
    opened.folder.close()
    return opened.folder.path


def test_stopped_run_has_its_checkpoint(tmp_path: Path, config: Config) -> None:
    again = session.resume(run.resume(stopped(tmp_path, config)), {})
    assert (again.state.epoch, again.state.batch, again.state.result) == (0, 1, None)
    assert again.notes == ()


def test_other_settings_are_refused(tmp_path: Path, config: Config) -> None:
    path = stopped(tmp_path, config)
    with pytest.raises(SettingError, match=r'the run has 0\.003, you gave 0\.1; a run continues as it'):
        session.resume(run.resume(path), {'batch_size': 16, 'rate': 0.1})


def test_same_settings_are_accepted(tmp_path: Path, config: Config) -> None:
    path = stopped(tmp_path, config)
    given = {'model': 'logistic', 'batch_size': 16, 'data': config.data}
    assert session.resume(run.resume(path), given).job.config == config


def test_other_images_are_refused(tmp_path: Path, config: Config) -> None:
    path = stopped(tmp_path, config)
    images = torch.zeros(30, 6, 5, dtype=torch.uint8)
    (tmp_path / 'data' / NAMES['test', 'images']).write_bytes(encode(images))
    with pytest.raises(RunError, match='these are not the images that the run began with'):
        session.resume(run.resume(path), {})


def test_corrupt_checkpoint_is_refused(tmp_path: Path, config: Config) -> None:
    path = stopped(tmp_path, config)
    data = bytearray((path / run.CHECKPOINT).read_bytes())
    data[-3] ^= 4
    (path / run.CHECKPOINT).write_bytes(data)
    with pytest.raises(RunError, match='the checkpoint is corrupt'):
        session.resume(run.resume(path), {})


@pytest.mark.parametrize(
    'change', [{'config': None}, {'config': {'model': 'mlp'}}, {'data': {}}, {'data': None}]
)
def test_settings_of_something_else_are_refused(
    tmp_path: Path, config: Config, change: dict[str, Any]
) -> None:
    path = stopped(tmp_path, config)
    content = json.loads((path / run.CONFIG).read_text())
    (path / run.CONFIG).write_text(json.dumps({**content, **change}))
    with pytest.raises(RunError, match=r'config\.json: '):
        session.resume(run.resume(path), {})


def test_other_versions_are_told(tmp_path: Path, config: Config) -> None:
    path = stopped(tmp_path, config)
    content = json.loads((path / run.CONFIG).read_text())
    content['versions']['torch'] = '1.0'
    (path / run.CONFIG).write_text(json.dumps(content))
    (note,) = session.resume(run.resume(path), {}).notes
    assert note.startswith('torch was 1.0 when the run began')


def test_wrong_gradient_stops_before_training(tmp_path: Path, config: Config) -> None:
    opened = session.begin(config, tmp_path / 'run')
    with pytest.raises(RunError, match=r'the gradient of the loss is wrong.*nothing was trained'):
        opened.check(lambda *_: 1.0)
    with pytest.raises(RunError, match='the gradient of the loss is wrong'):
        opened.check(lambda *_: float('nan'))


def test_missing_metrics_are_written_anew(tmp_path: Path, config: Config) -> None:
    path = stopped(tmp_path, config)
    (path / run.METRICS).write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3')
    ended(session.resume(run.resume(path), {}))
    lines = [json.loads(line) for line in (path / run.METRICS).read_text().splitlines()]
    assert [line['epoch'] for line in lines] == [1, 2]


def test_failing_picture_loses_nothing(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = session.begin(config, tmp_path / 'run')
    monkeypatch.setattr(plots, 'curves', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        opened.train(Silent(), lambda: False)
    opened.folder.close()
    again = session.resume(run.resume(tmp_path / 'run'), {})
    assert again.state.epoch == 2


@pytest.mark.parametrize('package', ['safetensors', 'matplotlib'])
def test_missing_package_is_told_before_anything_begins(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    path = stopped(tmp_path, config)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"training needs {package}: pip install 'adjoint\[train\]'"
    with pytest.raises(RunError, match=message):
        session.begin(config, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()
    with pytest.raises(RunError, match=message):
        session.resume(run.resume(path), {})
