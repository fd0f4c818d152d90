"""Values that one kernel computes together."""

from adjoint.core.node import Node
from adjoint.ops.max_pooling import max_pool_positions, max_pool_with_positions, pool_take
from adjoint.ops.several import item
from adjoint.passes.facts import is_real
from adjoint.passes.rewrite import BITWISE, Family, rewrite

__all__ = ['TOGETHER']


@rewrite(
    pool_take,
    max_pool_positions,
    exactness=BITWISE,
    examples=[
        'pool_take(image, max_pool_positions(image, 2, 2, 1), 2)',
        'pool_take(image, max_pool_positions(image, 2, (3, 2), (2, 1), (1, 0), 1, True), 2)',
        'pool_take(batch, max_pool_positions(batch, 1, 2), 1)',
    ],
)
def maximum_with_position(y: Node) -> Node | None:
    """The maxima of windows and their positions are found at once."""
    positions = y.inputs[1] if y.op is pool_take else y
    x = y.inputs[0]
    if positions.op is item and positions.inputs[0].op is max_pool_with_positions:
        return item(positions.inputs[0], 0) if positions.inputs[0].inputs[0] is x else None
    if positions.op is not max_pool_positions or positions.inputs[0] is not x or not is_real(x):
        return None
    return item(Node([x], max_pool_with_positions, positions.attrs), 0 if y.op is pool_take else 1)


TOGETHER = Family('together', 'Values that one kernel gives are computed by one.', (maximum_with_position,))
