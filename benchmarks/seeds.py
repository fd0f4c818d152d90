"""Test accuracy of a model over several seeds: mean, spread, and seconds of each run.

    python benchmarks/seeds.py --model transformer --seeds 5

A seed decides the initial weights and the order of the images; the split of the images stays. The
settings are the defaults of ``adjoint train``.
"""

import statistics
import time

import click
import torch
from rich.console import Console
from rich.table import Table

from adjoint.train import data, loop
from adjoint.train.config import Config
from adjoint.train.errors import SettingError
from adjoint.train.report import Silent
from adjoint.train.state import State


def train(config: Config) -> tuple[State, float]:
    """Return the state after a run and its seconds, from loading the images to the test."""
    began = time.perf_counter()
    job = loop.prepare(config, data.load(config.data))
    state = loop.train(job, job.start(), lambda _: None, Silent(), lambda: False)
    return state, time.perf_counter() - began


@click.command()
@click.option('--model', default=Config.model, show_default=True)
@click.option('--seeds', type=click.IntRange(min=1), default=5, show_default=True)
@click.option('--data', 'source', default=Config.data, show_default=True)
@click.option('--threads', type=click.IntRange(min=1), default=None)
def main(model: str, seeds: int, source: str, threads: int | None) -> None:
    """Train a model with several seeds and print its test accuracy with the spread."""
    console = Console(highlight=False)
    table = Table('seed', 'test accuracy (%)', 'test loss', 'epochs', 'best epoch', 'seconds')
    accuracies: list[float] = []
    seconds: list[float] = []
    limits = {} if threads is None else {'threads': threads}
    for seed in range(seeds):
        try:
            config = Config.of(model=model, data=source, seed=seed, **limits)
        except SettingError as error:
            raise click.UsageError(f'--{error.setting}: {error.problem}') from error
        torch.set_num_threads(config.threads)
        state, elapsed = train(config)
        assert state.result is not None
        accuracies.append(100 * state.result['test_accuracy'])
        seconds.append(elapsed)
        table.add_row(
            str(seed),
            f'{accuracies[-1]:.2f}',
            f'{state.result["test_loss"]:.4f}',
            str(state.epoch),
            str(state.result['best_epoch']),
            f'{elapsed:.1f}',
        )
    console.print(table)
    spread = statistics.stdev(accuracies) if seeds > 1 else 0.0
    console.print(
        f'{model}: test accuracy {statistics.mean(accuracies):.2f} % '
        f'(standard deviation {spread:.2f}, from {min(accuracies):.2f} to {max(accuracies):.2f}), '
        f'{seeds} seeds, {statistics.mean(seconds):.1f} s a run, threads: {torch.get_num_threads()}'
    )


if __name__ == '__main__':
    main()
