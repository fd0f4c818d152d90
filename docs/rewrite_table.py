"""Writes docs/rewrites.md, the table of every rewrite: ``python docs/rewrite_table.py``."""

from pathlib import Path

from adjoint.passes.marks import MARKS
from adjoint.passes.pipeline import FAMILIES

TARGET = Path(__file__).parent / 'rewrites.md'

HEADER = """# The rewrites

Generated from the rewrites by `python docs/rewrite_table.py`; a test keeps it up to date. What the classes of
exactness mean, and which level takes which, stands in [the guide](guide/passes.md). Besides these, equal
nodes become one (`sharing`), and what depends on no input is computed once (`folding`); both are bitwise.
"""


def cell(text: str) -> str:
    """Return a text as the cell of a table, with code in single quotes of Markdown."""
    return text.replace('``', '`').replace('|', '\\|')


def table() -> str:
    """Return the page."""
    parts = [HEADER]
    for family in (*FAMILIES, MARKS):
        parts.append(f'\n## {family.name}\n\n{family.summary}\n')
        parts.append('| rewrite | what it does | exactness | proven on |')
        parts.append('| --- | --- | --- | --- |')
        for each in family.rewrites:
            examples = ', '.join(f'`{example}`' for example in each.examples)
            cells = [f'`{each.name}`', cell(each.summary), str(each.exactness), cell(examples)]
            parts.append(f'| {" | ".join(cells)} |')
    return '\n'.join(parts) + '\n'


if __name__ == '__main__':
    TARGET.write_text(table(), encoding='utf-8')
