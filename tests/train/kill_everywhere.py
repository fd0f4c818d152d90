"""Kill a tiny run with SIGKILL at each moment of each write, resume it, and compare the end.

Run as a program by test_session.py: it forks, which is safe only while torch has one thread. It
prints one line a moment: where the run was killed and whether the resumed run ended alike.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from adjoint.train import checkpoint, files, plots, run, session
from adjoint.train.config import Config
from adjoint.train.records import TIMING
from adjoint.train.report import Silent
from tests.train.idx_files import write_mnist

MOMENTS = ('before', 'half', 'written', 'renamed')


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing_write(number: int, moment: str) -> Callable[[Path, bytes], None]:
    """Return a `files.write` whose call of that number dies at that moment."""
    original = files.write
    calls = 0

    def write(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls != number:
            original(path, data)
            return
        if moment == 'half':
            # What the system has written of a file when the process is gone, without its end.
            path.with_name(f'.{path.name}{files.PART}').write_bytes(data[: len(data) // 2])
        if moment == 'written':
            path.with_name(f'.{path.name}{files.PART}').write_bytes(data)
        if moment == 'renamed':
            original(path, data)
        kill()

    return write


def train(config: Config, path: Path) -> None:
    """Begin the run, or continue it if there is one, as the command line does."""
    if (path / run.CONFIG).exists():
        opened = session.resume(run.resume(path), {})
    else:
        opened = session.begin(config, path)
    opened.train(Silent(), lambda: False)


def in_a_child(action: Callable[[], None]) -> int | None:
    """Return the signal that ended the child, or None if it ended well."""
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return None


def same(first: Path, second: Path) -> bool:
    (ours, record), (theirs, other) = (checkpoint.load(p / run.CHECKPOINT) for p in (first, second))
    metrics = [
        [{k: v for k, v in line.items() if k not in TIMING} for line in r['history']] for r in (record, other)
    ]
    return (
        ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
        and metrics[0] == metrics[1]
        and record['result'] == other['result']
        and (first / run.METRICS).read_text().count('\n') == len(metrics[0])
        and {file.name for file in first.iterdir()} == set(run.ALL)
    )


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    data = folder / 'data'
    write_mnist(data)
    # The pictures are made elsewhere; here only their writing matters.
    plots.curves = plots.confusion = lambda *_: b'picture'
    config = Config.of(model='logistic', data=str(data), epochs=2, batch_size=16, checkpoint_every=2)
    whole = folder / 'whole'
    # In this process, so that the children begin with everything imported.
    train(config, whole)
    number, killed = 1, True
    while killed:
        for moment in MOMENTS:
            path = folder / f'{number}-{moment}'

            def dying(path: Path = path, moment: str = moment, number: int = number) -> None:
                files.write = killing_write(number, moment)
                train(config, path)

            killed = in_a_child(dying) == signal.SIGKILL
            if not killed:
                break
            assert in_a_child(lambda path=path: train(config, path)) is None
            sys.stdout.write(f'{number} {moment} {"same" if same(path, whole) else "DIFFERENT"}\n')
        number += 1


if __name__ == '__main__':
    main(Path(sys.argv[1]))
