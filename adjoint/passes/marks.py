"""Ops that only derivatives take notice of: in a graph that is only run, they are their operand."""

from adjoint.core.node import Node
from adjoint.ops.custom import CustomGradient, undifferentiable
from adjoint.ops.linear import alias
from adjoint.ops.several import item
from adjoint.ops.torch_names import detach
from adjoint.passes.rewrite import BITWISE, Family, rewrite

__all__ = ['MARKS']


@rewrite(
    alias,
    detach,
    undifferentiable,
    exactness=BITWISE,
    examples=['alias(x)', 'detach(x)', 'undifferentiable(x)'],
)
def unmarked(y: Node) -> Node | None:
    """``alias(a)``, ``detach(a)`` and ``undifferentiable(a)`` have the value ``a``."""
    return y.inputs[0]


@rewrite(
    item,
    exactness=BITWISE,
    examples=['item(Node([x, y, x], custom(2), {"grads": (), "function": "f"}), 0)'],
)
def value_of_custom(y: Node) -> Node | None:
    """A value with a pullback of its own is the value."""
    (whole,) = y.inputs
    position: int = y.attrs['position']
    return whole.inputs[position] if isinstance(whole.op, CustomGradient) else None


MARKS = Family(
    'marks', 'Marks for derivatives vanish from a graph that is only run.', (unmarked, value_of_custom)
)
