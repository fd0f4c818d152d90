"""The table and the picture of the benchmark."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

__all__ = ['Row', 'write']

# Ratios below this have more digits.
_LITTLE = 0.01

RESULTS = Path(__file__).parent / 'results'


@dataclass
class Row:
    """What was measured of one workload, by competitor.

    Parameters
    ----------
    workload, title : str
        The row, and what it is.
    first : dict
        Seconds from the function to the first result: recording, differentiating, compiling, running.
    seconds : dict
        Of a run, in the median.
    peak : dict
        Bytes that a run allocates at most at once; of those that ask torch for them.
    refused : dict
        Why a competitor is not in the row.
    """

    workload: str
    title: str
    first: dict[str, float] = field(default_factory=dict[str, float])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    peak: dict[str, float] = field(default_factory=dict[str, float])
    refused: dict[str, str] = field(default_factory=dict[str, str])

    def ratios(self) -> dict[str, float]:
        """Return the seconds over those of eager."""
        eager = self.seconds.get('eager')
        return {} if eager is None else {name: each / eager for name, each in self.seconds.items()}


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.seconds))


def _table(title: str, rows: Sequence[Row], values: Callable[[Row], dict[str, str]]) -> Table:
    names = _names(rows)
    shown = Table(title=title)
    for head in ('', 'workload', *names):
        shown.add_column(head, justify='right' if head in names else 'left')
    for row in rows:
        found = values(row)
        shown.add_row(row.workload, row.title, *(found.get(name, '-') for name in names))
    return shown


def _ratios(row: Row) -> dict[str, str]:
    shown = {
        name: f'{ratio:.3f}' if ratio >= _LITTLE else f'{ratio:.5f}' for name, ratio in row.ratios().items()
    }
    return {**shown, 'eager': f'{row.seconds["eager"] * 1e3:.3f} ms'}


def _firsts(row: Row) -> dict[str, str]:
    return {name: f'{seconds:.3f}' for name, seconds in row.first.items()}


def _peaks(row: Row) -> dict[str, str]:
    return {name: f'{held / 2**20:.2f}' for name, held in row.peak.items()}


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the ratios: a dot for each competitor, a line of the picture for each workload."""
    mpl.use('Agg')
    names = [name for name in _names(rows) if name != 'eager']
    figure = Figure(figsize=(9, 1.5 + 0.42 * len(rows)), layout='constrained')
    axes = figure.subplots()
    for k, name in enumerate(names):
        places = [i for i, row in enumerate(rows) if name in row.seconds]
        is_ours = name in {'reference', 'plan', 'plan, fast', 'compiled', 'cudagraph'}
        axes.scatter(
            [rows[i].ratios()[name] for i in places],
            places,
            s=70 if is_ours else 45,
            marker='D' if is_ours else 'os^vP<>X'[k % 8],
            label=name,
            zorder=3 if is_ours else 2,
            alpha=0.9,
        )
    axes.axvline(1, color='black', linewidth=1)
    axes.set_xscale('log')
    axes.set_xlabel('time of a run / that of eager PyTorch (left is faster)')
    axes.set_yticks(range(len(rows)), [f'{row.workload}  {row.title}' for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=True, axis='both', alpha=0.25)
    axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5), frameon=False)
    aside = path.with_suffix('.part.png')
    figure.savefig(aside, dpi=130)
    aside.replace(path)


def _joined(rows: Sequence[Row], path: Path, about: Mapping[str, Any]) -> list[Row]:
    """Return rows with those of other workloads that were measured before in the same way."""
    if not path.exists():
        return list(rows)
    before = json.loads(path.read_text(encoding='utf-8'))
    if any(before.get(key) != value for key, value in about.items()):
        return list(rows)
    new = {row.workload: row for row in rows}
    old = [Row(**each) for each in before['rows']]
    kept = [new.pop(row.workload, row) for row in old]
    return sorted(
        [*kept, *new.values()], key=lambda row: (int(re.findall(r'\d+', row.workload)[0]), row.workload)
    )


def write(
    rows: Sequence[Row], about: Mapping[str, Any], name: str, *, is_apart: bool, adds: bool = False
) -> None:
    """Print the tables, and write them, the figures and the picture.

    With ``adds``, rows of other workloads that were measured in the same way, which ``about`` says, stay in
    the files.
    """
    RESULTS.mkdir(exist_ok=True)
    name = f'{name}_apart' if is_apart else name
    rows = _joined(rows, RESULTS / f'{name}.json', about) if adds else rows
    console = Console(record=True, width=190)
    way = 'each in a process of its own' if is_apart else 'in one process, in turn'
    way += f'; {about["device"]}' if 'device' in about else ''
    console.print(_table(f'time of a run, as a ratio to eager PyTorch; {way}', rows, _ratios))
    console.print(_table('seconds from the function to the first result', rows, _firsts))
    console.print(_table('peak memory of a run, MiB', rows, _peaks))
    for row in rows:
        for competitor, why in row.refused.items():
            console.print(f'{row.workload} {competitor}: {why}')
    for end, text in (
        ('txt', console.export_text()),
        ('json', json.dumps({**about, 'rows': [asdict(row) for row in rows]}, indent=1)),
    ):
        aside = RESULTS / f'{name}.{end}.part'
        aside.write_text(text, encoding='utf-8')
        aside.replace(RESULTS / f'{name}.{end}')
    _draw(rows, RESULTS / f'{name}.png')
