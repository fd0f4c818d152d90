"""The overloads of image models that no operator of torch's list uses: adjoints, and what is composed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from tests.ops.case import i, spread

A = torch.ops.aten
X = spread(1, 2, 4, 4)
LINE = spread(1, 2, 5)
BLOCK = spread(1, 1, 2, 3, 3)

# What torch does, and its operands.
PROGRAMS: dict[str, tuple[Callable[..., Any], list[torch.Tensor]]] = {
    'avg_pool2d_backward': (
        lambda c, x: A.avg_pool2d_backward(c, x, [2], [], [0], False, True, None),
        [spread(1, 2, 2, 2), X],
    ),
    'adaptive_avg_pool2d_backward': (A._adaptive_avg_pool2d_backward, [spread(1, 2, 3, 3), X]),
    'max_pool2d_with_indices_backward': (
        lambda c, x, at: A.max_pool2d_with_indices_backward(
            c, x, [2, 2], [2, 2], [0, 0], [1, 1], False, indices=at
        ),
        [spread(1, 1, 2, 2), X[:, :1], i([[[[0, 3], [13, 10]]]])],
    ),
    'adaptive_max_pool2d_backward': (
        A.adaptive_max_pool2d_backward,
        [spread(1, 1, 2, 2), X[:, :1], i([[[[0, 3], [13, 10]]]])],
    ),
    'upsample_nearest1d_backward': (
        lambda c: A.upsample_nearest1d_backward(c, [5], [1, 2, 3], 1.7),
        [LINE],
    ),
    'upsample_bilinear2d_backward': (
        lambda c: A.upsample_bilinear2d_backward(c, [4, 4], [1, 2, 3, 2], align_corners=True),
        [X],
    ),
    'upsample_trilinear3d_backward': (
        lambda c: A.upsample_trilinear3d_backward(c, [2, 3, 3], [1, 1, 1, 2, 2], False, scales_w=1.5),
        [BLOCK],
    ),
    'reflection_pad1d_backward': (
        lambda c, x: A.reflection_pad1d_backward(c, x, [1, 2]),
        [spread(1, 2, 8), LINE],
    ),
    'replication_pad2d_backward': (
        lambda c, x: A.replication_pad2d_backward(c, x, [1, 0, 2, 1]),
        [spread(1, 2, 7, 5), X],
    ),
    'grid_sampler_2d_backward': (
        lambda c, x, grid: A.grid_sampler_2d_backward(c, x, grid, 0, 1, False, [True, True]),
        [spread(1, 2, 2, 1), X, spread(1, 2, 1, 2)],
    ),
    'convolution_backward': (
        lambda c, x, w: A.convolution_backward(
            c, x, w, [2], [2], [0], [1], False, [0], 1, [True, True, True]
        ),
        [spread(1, 2, 2), LINE, spread(2, 2, 2)],
    ),
    'fractional_max_pool2d': (
        lambda x, at: A.fractional_max_pool2d(x, [2, 2], [2, 2], at)[0],
        [X, spread(1, 2, 2, low=0.1, high=0.9)],
    ),
    'same': (
        lambda x, w: torch.nn.functional.conv2d(x, w, padding='same', dilation=(1, 3)),
        [X, spread(1, 2, 2, 2)],
    ),
    'one of a batch': (lambda x, w: torch.conv1d(x, w, stride=2), [LINE[0], spread(3, 2, 2)]),
    'transposed, one of a batch': (
        lambda x, w: torch.conv_transpose1d(x, w, stride=2, output_padding=1),
        [LINE[0], spread(2, 1, 2)],
    ),
    'circular': (lambda x: torch.nn.functional.pad(x, (1, 2, 3, 0), 'circular'), [X]),
    'scales': (lambda x: torch.nn.functional.interpolate(x, scale_factor=(1.3, 0.8), mode='bilinear'), [X]),
    'affine_grid': (lambda x: torch.nn.functional.affine_grid(x, [1, 1, 2, 3], True), [spread(1, 2, 3)]),
}

# In torch these have no derivative.
UNRECORDED = {'grid_sampler_2d_backward', 'fractional_max_pool2d'}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize('name', PROGRAMS)
def test_value_and_gradient_are_those_of_torch(name: str) -> None:
    given, operands = PROGRAMS[name]

    def function(*tensors: torch.Tensor) -> list[torch.Tensor]:
        found = given(*tensors)
        return list(found) if isinstance(found, (tuple, list)) else [found]

    graph = ad.from_torch(function, *operands)
    feed = dict(zip(graph.variables, operands, strict=True))
    moving = [x.clone().requires_grad_(x.is_floating_point()) for x in operands]
    wanted = function(*(operands if name in UNRECORDED else moving))
    got = ad.Evaluator(list(graph.outputs)).run(feed)
    for value, expected in zip(got, wanted, strict=True):
        torch.testing.assert_close(value, expected.detach())
    if name in UNRECORDED:
        return
    total = sum((w * spread(*w.shape, seed=k)).sum() for k, w in enumerate(wanted))
    places = [k for k, x in enumerate(moving) if x.requires_grad]
    expected = torch.autograd.grad(total, [moving[k] for k in places], allow_unused=True)
    loss = None
    for k, (node, w) in enumerate(zip(graph.outputs, wanted, strict=True)):
        term = ad.sum(node * spread(*w.shape, seed=k))
        loss = term if loss is None else loss + term
    grads = ad.gradients(loss, [graph.variables[k] for k in places])
    for value, known, k in zip(ad.Evaluator(grads).run(feed), expected, places, strict=True):
        torch.testing.assert_close(value, torch.zeros_like(operands[k]) if known is None else known)
