"""Writes docs/rewrites.md, the table of every rewrite: ``python docs/rewrite_table.py``."""

from collections.abc import Sequence
from pathlib import Path

from adjoint.execute.kernels.fused import FUSIONS
from adjoint.execute.kernels.fusion import Fusion
from adjoint.passes.marks import MARKS
from adjoint.passes.pipeline import FAMILIES
from adjoint.passes.rewrite import Rewrite

TARGET = Path(__file__).parent / 'rewrites.md'

HEADER = """# The rewrites

Generated from the rewrites by `python docs/rewrite_table.py`; a test keeps it up to date. What the classes of
exactness mean, and which level takes which, stands in [the guide](guide/passes.md). Besides these, equal
nodes become one, and what depends on no input is computed once (`folding`); both are bitwise. Products with
one operand in common become one product, and sums of products too (`merging`); this is rounding. Chains of
products are computed in the order that costs least, and diagonal matrices in them as factors (`chains`); this
is rounding, except where a product of some of the factors overflows or underflows, or an entry is infinite or
nan.
"""

FUSED = """
## Several ops as one kernel

A program calls one kernel for these, where nothing else needs what is computed between, and the tensors are
real, of one dtype, and lie in memory in the order of their entries: at the level `fast`, and at every level
where it changes no bit.
"""


def cell(text: str) -> str:
    """Return a text as the cell of a table, with code in single quotes of Markdown."""
    return text.replace('``', '`').replace('|', '\\|')


def table() -> str:
    """Return the page."""
    parts = [HEADER]
    for family in (*FAMILIES, MARKS):
        parts.append(f'\n## {family.name}\n\n{family.summary}\n')
        parts += rows('rewrite', family.rewrites)
    parts += [FUSED, *rows('kernel', FUSIONS)]
    return '\n'.join(parts) + '\n'


def rows(kind: str, entries: Sequence[Rewrite | Fusion]) -> list[str]:
    """Return the lines of one table."""
    found = [f'| {kind} | what it does | exactness | proven on |', '| --- | --- | --- | --- |']
    for each in entries:
        examples = ', '.join(f'`{example}`' for example in each.examples)
        cells = [f'`{each.name}`', cell(each.summary), str(each.exactness), cell(examples)]
        found.append(f'| {" | ".join(cells)} |')
    return found


if __name__ == '__main__':
    TARGET.write_text(table(), encoding='utf-8')
