"""The command ``adjoint train``: what a user sees, and what survives."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner, Result
from rich.console import Console

from adjoint.cli.main import main
from adjoint.cli.train import Signals
from adjoint.train import checkpoint, data, loop, run
from adjoint.train.config import Config
from adjoint.train.data import Dataset, Images
from adjoint.train.idx import find
from adjoint.train.records import TIMING
from adjoint.train.report import Lines, Live
from adjoint.train.state import State
from tests.train.idx_files import NAMES, encode, write_mnist

ROOT = Path(__file__).parents[2]
QUICK = ('--model', 'logistic', '--epochs', '2')


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def adjoint(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], terminal_width=200)


def train(*arguments: str | Path) -> Result:
    return adjoint('train', *arguments)


def flat(text: str) -> str:
    return ' '.join(text.split())


# ---------------------------------------------------------------- what a run prints and leaves


def test_run_says_what_it_does_and_where_everything_is() -> None:
    result = train(*QUICK, '--out', 'here')
    output = flat(result.output)
    assert result.exit_code == 0
    assert 'logistic with 650 parameters on scikit-learn digits' in output
    errors = re.search(r'along 3 random directions: relative error (\S+), (\S+), (\S+)\.', output)
    assert errors is not None
    assert all(float(error) < 1e-7 for error in errors.groups())
    assert len(re.findall(r'epoch [12]/2 train loss \d', output)) == 2
    accuracy = re.search(r'test accuracy (\S+) %', output)
    assert accuracy is not None
    assert 50 < float(accuracy.group(1)) < 100
    for name in run.ALL:
        assert f'here/{name}' in output
        assert (Path('here') / name).stat().st_size > 100


def test_default_folder_is_named_by_time_and_model() -> None:
    assert train(*QUICK).exit_code == 0
    (path,) = Path('runs').iterdir()
    assert re.fullmatch(r'\d{4}-\d\d-\d\d-\d{6}-logistic', path.name)


@pytest.mark.parametrize('ending', ['', '.gz'])
def test_folder_with_idx_files_is_trained_on(ending: str) -> None:
    write_mnist(Path('set'), compressed=bool(ending))
    result = train(*QUICK, '--data', 'set', '--out', 'here')
    assert result.exit_code == 0
    assert 'on set: 54 images to train with, 6 to validate, 30 to test' in flat(result.output)
    content = json.loads((Path('here') / run.CONFIG).read_text())
    assert content['config']['data'] == str(Path('set').resolve())


def test_options_become_settings() -> None:
    options = {
        'rule': 'nesterov', 'rate': 0.01, 'schedule': 'plateau', 'warmup': 0.5, 'batch-size': 100,
        'weight-decay': 0.001, 'clip-norm': 1.0, 'clip-value': 0.5, 'patience': 3,
        'min-delta': 0.01, 'seed': 7, 'threads': 2, 'dtype': 'float64', 'checkpoint-every': 9,
    }  # fmt: skip
    given = [part for name, value in options.items() for part in (f'--{name}', str(value))]
    assert train(*QUICK, *given, '--out', 'here').exit_code == 0
    config = json.loads((Path('here') / run.CONFIG).read_text())['config']
    for name, value in options.items():
        assert config[name.replace('-', '_')] == value
    tensors, _ = checkpoint.load(Path('here') / run.CHECKPOINT)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float64}


def test_help_names_every_setting_with_its_default() -> None:
    output = flat(train('--help').output)
    for field in Config.__dataclass_fields__:
        assert f'--{field.replace("_", "-")} ' in output
    for text in ('[default: transformer]', '[default: 64]', 'adamw: logistic 0', '[default: none]'):
        assert text in output


# -------------------------------------------------------------------------- clear messages


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--model', 'transfomer'], "--model: unknown model 'transfomer': there are logistic, mlp,"),
        (['--model', 'transfomer'], "transformer; did you mean 'transformer'?"),
        (['--rule', 'adamm'], "--rule: unknown rule 'adamm'"),
        (['--rate', '-0.1'], '--rate: must be a positive number, got -0.1'),
        (['--rate', 'fast'], "Invalid value for '--rate': 'fast' is not a valid float"),
        (['--epochs', '0'], '--epochs: must be at least 1, got 0'),
        (['--batch-size', '0'], '--batch-size: must be at least 1, got 0'),
        (['--clip-norm', '0'], '--clip-norm: must be a positive number, got 0.0'),
        (['--nonsense'], 'No such option'),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_with_code_2(arguments: list[str], message: str) -> None:
    result = train(*arguments)
    assert result.exit_code == 2
    assert message in flat(result.output)
    assert not Path('runs').exists()


def failing(*arguments: str | Path) -> str:
    result = train(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    output = flat(result.output)
    assert 'Error: ' in output
    return output


def test_truncated_file_is_told_and_leaves_no_run() -> None:
    write_mnist(Path('set'))
    path = find(Path('set'), NAMES['train', 'images'])
    path.write_bytes(path.read_bytes()[:-7])
    assert 'truncated: expected 1,816 bytes' in failing(*QUICK, '--data', 'set')
    assert not Path('runs').exists()


def test_label_count_that_differs_is_told() -> None:
    written = write_mnist(Path('set'))
    path = Path('set') / NAMES['test', 'labels']
    path.write_bytes(encode(written['test', 'labels'][1:]))
    assert 'holds 29 labels, but t10k-images-idx3-ubyte holds 30' in failing('--data', 'set')


def test_missing_folder_is_told() -> None:
    assert "no such folder; give 'digits' or a folder" in failing('--data', 'nowhere')


def test_unwritable_folder_is_told_before_anything_is_trained() -> None:
    Path('file').write_text('')
    output = failing(*QUICK, '--out', 'file/run')
    assert 'file/run: a run cannot be kept here: Not a directory; choose another' in output
    assert 'Gradient' not in output


def test_folder_that_holds_a_run_is_told() -> None:
    train(*QUICK, '--out', 'here')
    assert 'here: holds a run already' in failing(*QUICK, '--out', 'here')


def test_divergence_is_told_and_the_last_checkpoint_kept() -> None:
    extreme = ('--rule', 'sgd', '--rate', '1e38', '--warmup', '0', '--schedule', 'constant')
    output = failing('--model', 'mlp', '--epochs', '3', *extreme, '--out', 'here')
    assert 'training diverged. Lower --rate' in output


# --------------------------------------------------------------------------------- resuming


def test_finished_run_says_so() -> None:
    train(*QUICK, '--out', 'here')
    before = (Path('here') / run.CHECKPOINT).read_bytes()
    result = train('--resume', 'here')
    assert result.exit_code == 0
    assert 'This run is finished already; there is nothing to continue.' in flat(result.output)
    assert 'test accuracy' in result.output
    assert (Path('here') / run.CHECKPOINT).read_bytes() == before


def test_newest_run_is_resumed_without_a_folder() -> None:
    train(*QUICK)
    assert 'finished already' in train('--resume').output


def test_nothing_to_resume_is_told() -> None:
    assert 'runs: holds no run; name the folder' in failing('--resume')
    assert 'nowhere: no such folder' in failing('--resume', 'nowhere')
    Path('empty').mkdir()
    assert 'empty: holds no run (config.json is missing)' in failing('--resume', 'empty')


def test_other_settings_are_refused_with_code_2() -> None:
    train(*QUICK, '--out', 'here')
    result = train('--resume', 'here', '--rate', '0.5')
    assert result.exit_code == 2
    assert '--rate: the run has 0.003, you gave 0.5; a run continues as it began' in flat(result.output)
    assert train('--resume', 'here', *QUICK).exit_code == 0
    assert '--out: a run continues in its own folder' in flat(
        train('--resume', 'here', '--out', 'there').output
    )


def test_corrupt_checkpoint_is_told_and_kept() -> None:
    train(*QUICK, '--out', 'here')
    path = Path('here') / run.CHECKPOINT
    broken = path.read_bytes()[:-1]
    path.write_bytes(broken)
    assert 'the checkpoint is corrupt' in failing('--resume', 'here')
    assert path.read_bytes() == broken


# ------------------------------------------------------------------- signals, for real

LONG = ('--model', 'transformer', '--epochs', '12', '--batch-size', '32', '--checkpoint-every', '7')


@pytest.fixture(scope='session')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder, threads = tmp_path_factory.mktemp('uninterrupted') / 'whole', torch.get_num_threads()
    assert train(*LONG, '--out', folder).exit_code == 0
    torch.set_num_threads(threads)
    return folder


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'adjoint.cli.main', 'train', *arguments],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_a_checkpoint(process: subprocess.Popen[str], path: Path) -> None:
    before = path.stat().st_mtime_ns if path.exists() else 0
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.stat().st_mtime_ns != before:
            return
        time.sleep(0.002)


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], Any]:
    tensors, record = checkpoint.load(folder / run.CHECKPOINT)
    lines = (folder / run.METRICS).read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    for line in metrics:
        for name in TIMING:
            del line[name]
    return tensors, metrics, record['result']


def assert_same_outcome(first: Path, second: Path) -> None:
    ours, theirs = outcome(first), outcome(second)
    assert ours[0].keys() == theirs[0].keys()
    assert all(torch.equal(ours[0][name], theirs[0][name]) for name in ours[0])
    assert ours[1:] == theirs[1:]
    assert ours[2] is not None


def test_run_killed_again_and_again_ends_bit_for_bit_alike(whole: Path) -> None:
    moments = random.Random(20)
    arguments: tuple[str, ...] = (*LONG, '--out', 'killed')
    positions: list[tuple[int, int]] = []
    record: dict[str, Any] = {}
    for _ in range(2):
        process = start(*arguments)
        wait_for_a_checkpoint(process, Path('killed') / run.CHECKPOINT)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        _, record = checkpoint.load(Path('killed') / run.CHECKPOINT)
        positions.append((len(record['history']), record['batch']))
        arguments = ('--resume', 'killed')
    # It got further each time, and was never finished when it was killed.
    assert positions == sorted(set(positions))
    assert record['result'] is None
    process = start(*arguments)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    epochs, batch = positions[-1]
    place = f'in epoch {epochs + 1}, after {batch}' if batch else f'after epoch {epochs}'
    assert f'Continuing {place}' in output
    assert_same_outcome(Path('killed'), whole)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_how_to_continue_and_ends_alike(number: signal.Signals, whole: Path) -> None:
    process = start(*LONG, '--out', 'stopped')
    wait_for_a_checkpoint(process, Path('stopped') / run.CHECKPOINT)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 128 + number
    assert 'Traceback' not in output
    assert 'Nothing is lost; continue with\n\n  adjoint train --resume stopped\n' in output
    _, record = checkpoint.load(Path('stopped') / run.CHECKPOINT)
    place = re.search(r'Stopped in epoch (\d+), after (\d+) of 40 updates', output)
    if place is not None:
        assert (len(record['history']) + 1, record['batch']) == tuple(map(int, place.groups()))
    assert train('--resume', 'stopped').exit_code == 0
    assert_same_outcome(Path('stopped'), whole)


def test_interruption_before_training_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> Dataset:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, 'load', interrupted)
    result = train(*QUICK)
    assert result.exit_code == 130
    assert 'Interrupted.' in result.output


def test_second_signal_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Signals() as signals:
        assert not signals.received()
        signal.raise_signal(signal.SIGINT)
        assert signals.received()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


# --------------------------------------------------------------------------------- progress


def trained(make: Any, width: int) -> tuple[str, State]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=make is Live, width=width, legacy_windows=False)
    generator = torch.Generator().manual_seed(0)
    images = Images(torch.rand(400, 8, 8, generator=generator), torch.arange(400) % 10)
    of = loop.prepare(
        Config.of(model='logistic', epochs=30, batch_size=4, patience=0),
        Dataset('noise', images, images, images, 10),
    )
    if make is Live:
        with Live(console, 30, of.batches) as report:
            state = loop.train(of, of.start(), lambda _: None, report, lambda: False)
    else:
        state = loop.train(of, of.start(), lambda _: None, Lines(console, 30), lambda: False)
    return stream.getvalue(), state


@pytest.mark.parametrize('width', [80, 120])
def test_live_bar_shows_everything_on_one_line(width: int) -> None:
    output, state = trained(Live, width)
    shown = [click.unstyle(part) for part in re.split(r'[\r\n]', output)]
    pattern = (
        r'epoch \d+/30 [━╸╺ ]+ loss \d\.\d{3} acc +\d+\.\d% val +\d+\.\d% rate \d\.\de-\d\d '
        r'\S+ img/s +(\d+:\d\d|-+:--) *'
    )
    bars = [line for line in shown if re.fullmatch(pattern, line)]
    assert bars
    assert max(map(len, bars)) <= width
    assert f'epoch 30/30  train loss {state.history[-1]["train_loss"]:.4f}' in click.unstyle(output)


def test_plain_lines_are_one_an_epoch() -> None:
    output, state = trained(Lines, 80)
    lines = output.splitlines()
    assert len(lines) == 30
    assert '\x1b' not in output
    assert lines[4].startswith('epoch 5/30  train loss ')
    best = [k + 1 for k, line in enumerate(lines) if line.endswith(' *')]
    assert best[-1] == state.best_epoch
