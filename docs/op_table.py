"""Writes docs/ops.md, the table of every op, from the ops themselves: ``python docs/op_table.py``."""

import inspect
import re
from pathlib import Path

from adjoint.autodiff.batching.rules import RULES
from adjoint.core.op import Op
from adjoint.ops import FAMILIES, registry
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.kinds import Binary, Creation, Fused, Linear, Multilinear, Reduction, Step, Unary
from adjoint.ops.random import Draw

TARGET = Path(__file__).parent / 'ops.md'

# What an op states, by the first of these that it is.
KINDS: tuple[tuple[type[Op], str], ...] = (
    (Step, 'step'),
    (Creation, 'creation'),
    (Unary, 'unary'),
    (Binary, 'binary'),
    (Linear, 'linear'),
    (Multilinear, 'multilinear'),
    (Fused, 'fused'),
    (Reduction, 'reduction'),
    (Op, 'op'),
)

HEADER = """# The ops

Generated from the ops by `python docs/op_table.py`; a test keeps it up to date.

* **Kind**: what the op states of its derivative. *unary*, *binary*: the partials, entry by entry. *linear*:
  its adjoint. *multilinear*: a gradient that is linear in each operand. *step*, *creation*: nothing flows.
  *op*, *reduction*, *fused*: a gradient.
* **Kinks**: where the derivative is a choice or infinite, and what is taken there, in every mode and order;
  `kinks(nodes, values)` lists the nodes of a run that are there.
* **Forward**: how a tangent is pushed forward. *derived*: from what the kind states; *own*: the op has a rule
  of its own; *pullback*: as the pullback of the pullback.
* **Batch**: how `vmap` makes it an op on a whole batch. *entries*: entry by entry, as it is. *axes*: its axes
  moved on by one. *own*: a rule of its own. *map*: applied to each example, vectorised where torch can.
  Nothing for an op without operands: its value is the same for every example.
* **Orders**: how often the gradient can be differentiated again; *all* where it is made of ops that can.
"""


def kind_of(op: Op) -> str:
    """Return the name of the kind of an op."""
    return next(name for kind, name in KINDS if isinstance(op, kind))


def forward_of(op: Op) -> str:
    """Return where the pushforward of an op comes from."""
    owner = next(cls for cls in type(op).__mro__ if 'jvp' in vars(cls))
    if owner is Op:
        return 'pullback'
    return 'derived' if any(owner is kind for kind, _ in KINDS) else 'own'


def batch_of(op: Op) -> str:
    """Return where the rule of an op on a batch comes from."""
    if type(op).batch is not Op.batch or type(op) in RULES or isinstance(op, Draw):
        return 'own'
    parameters = inspect.signature(type(op).__call__).parameters.values()
    if isinstance(op, Creation) and not any('Operand' in str(each.annotation) for each in parameters):
        return ''
    if isinstance(op, Elementwise):
        return 'entries'
    return 'axes' if op.axes is not None or isinstance(op, Reduction) else 'map'


def summary(op: Op) -> str:
    """Return the first sentence of the docstring of an op, on one line."""
    text = inspect.getdoc(type(op)) or ''
    return ' '.join(text.partition('\n\n')[0].split())


def conventions(op: Op) -> str:
    """Return the notes of an op: what holds at kinks, ties and poles."""
    text = inspect.getdoc(type(op)) or ''
    found = re.search(r'^Notes\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)', text, re.DOTALL | re.MULTILINE)
    return ' '.join(found.group(1).split()) if found else ''


def kinks(op: Op) -> str:
    """Return where the derivative is a choice or infinite, and what is taken there."""
    return '; '.join(map(str, op.kinks))


def cell(text: str) -> str:
    """Return a text as the cell of a table, with code in single quotes of Markdown."""
    return text.replace('``', '`').replace('|', '\\|')


def table() -> str:
    """Return the page."""
    names = {id(op): name for name, op in registry().items()}
    parts = [HEADER]
    for family in FAMILIES:
        own = [
            op for op in vars(family).values() if id(op) in names and type(op).__module__ == family.__name__
        ]
        if not own:
            continue
        title = (family.__doc__ or '').partition('\n')[0].rstrip('.')
        parts.append(f'\n## {title}\n')
        parts.append('| op | value | kind | formula | kinks | conventions | forward | batch | orders |')
        parts.append('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
        for op in sorted(own, key=lambda op: op.name):
            formula = f'`{op.formula}`' if op.formula else ''
            orders = 'all' if op.orders is None else str(op.orders)
            cells = [f'`{op.name}`', cell(summary(op)), kind_of(op), cell(formula)]
            cells += [cell(kinks(op)), cell(conventions(op))]
            parts.append(f'| {" | ".join([*cells, forward_of(op), batch_of(op), orders])} |')
    return '\n'.join(parts) + '\n'


if __name__ == '__main__':
    TARGET.write_text(table(), encoding='utf-8')
