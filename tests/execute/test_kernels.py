"""What plans write for single ops gives the bits of the op, at zeros, ties, infinities and nan too."""

import itertools
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.ops.attention import attention, over_root_width
from adjoint.ops.convolution import convolution
from adjoint.ops.max_pooling import max_pool
from tests.execute.agreement import POISONED
from tests.passes.drawn import SPECIAL, bits_differ

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def entries(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    """Few different numbers, so that there are ties, and special ones."""
    generator = torch.Generator().manual_seed(seed)
    choice = torch.randint(len(SPECIAL), shape, generator=generator)
    return torch.tensor(SPECIAL, dtype=torch.float64)[choice].to(dtype)


def check(nodes: list[ad.Node], feed: dict[ad.Node, torch.Tensor], wanted: str) -> None:
    """Compare a plan with the reference, bit by bit, and look for a text in the program."""
    reference = ad.Evaluator(nodes, executor='reference').run(feed)
    evaluator = ad.Evaluator(nodes, POISONED)
    assert wanted in evaluator.program(feed), evaluator.program(feed)
    for _ in range(2):
        for got, want in zip(evaluator.run(feed), reference, strict=True):
            assert (got.dtype, got.shape, got.stride()) == (want.dtype, want.shape, want.stride())
            assert not bits_differ(got, want).any()


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('of', ['variable', 'relu', 'dying'])
def test_where_positive(dtype: torch.dtype, of: str) -> None:
    x = ad.Variable('x')
    a = {'variable': x, 'relu': ad.relu(x), 'dying': -x}[of]
    # An odd number of entries: those that are left over go another way through the kernels.
    check([ad.greater(a, 0)], {x: entries(7, 19, dtype=dtype)}, 'sign')
    check([ad.greater(a, 0), a], {x: entries(7, 19, dtype=dtype)}, 'sign')


def test_other_comparisons_are_no_signs() -> None:
    x = ad.Variable('x')
    feed = {x: entries(40)}
    for node in (ad.greater(x, 1.0), x < 0, x >= 0, ad.greater(x, x)):
        check([node], feed, 'program')
        assert 'sign' not in ad.Evaluator([node], POISONED).program(feed)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('width', [1, 7, 64])
def test_over_root_of_the_width(dtype: torch.dtype, width: int) -> None:
    x = ad.Variable('x')
    check([over_root_width(x), over_root_width(-x)], {x: entries(5, width, dtype=dtype)}, 'div')


@pytest.mark.parametrize('dtype', DTYPES[:2])
@pytest.mark.parametrize(('shape', 'axes'), [((5, 19), (19,)), ((3, 4, 6), (4, 6)), ((0, 3), (3,))])
def test_layer_norms(dtype: torch.dtype, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = ad.Variable('x')
    y = ad.layernorm(x, axes)
    for feed in ({x: entries(*shape, dtype=dtype)}, {x: torch.randn(shape, dtype=dtype)}):
        check([y], feed, ' layer_norm(')
        check([y, *ad.gradients(ad.sum(ad.sin(y)), [x])], feed, 'native_layer_norm_backward(')
    check([y], {x: torch.randn(shape, dtype=dtype).mT.contiguous().mT}, ' layer_norm(')


@pytest.mark.parametrize('dtype', DTYPES[:2])
@pytest.mark.parametrize('kind', ['plain', 'causal', 'bias', 'mask', 'of all heads'])
def test_attention(dtype: torch.dtype, kind: str) -> None:
    heads = torch.randn(2, 5, 4, 3, 8, generator=torch.Generator().manual_seed(5)).to(dtype)
    q, k, v, ct = (heads[:, :, i].transpose(1, 2) for i in range(4))
    masks = {
        'bias': torch.randn(5, 5, dtype=dtype),
        'mask': torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(6)) > 0.5,
        'of all heads': torch.randn(2, 3, 1, 5, dtype=dtype),
    }
    given = [q, k, v, *([masks[kind]] if kind in masks else [])]
    variables = [ad.Variable(f'x{i}') for i in range(len(given) + 1)]
    y = attention(*variables[:-1], is_causal=kind == 'causal')
    nodes = [y, *ad.gradients([y], variables[:3], cotangents=[variables[-1]])]
    feed = dict(zip(variables, [*given, ct], strict=True))
    check(nodes, feed, 'attention_with_logsumexp(')
    if kind != 'mask':
        assert '5, 5]' not in ad.Evaluator(nodes).program(feed), 'scores'
    if kind in {'plain', 'causal', 'bias'}:
        # No kernel takes entries of a row that lie apart, a batch of batches, or a single example.
        for change, wanted in (
            (lambda x: x.mT.contiguous().mT, 'attention_pullback('),
            (lambda x: x[None], 'safe_softmax('),
            (lambda x: x[0], 'safe_softmax('),
        ):
            changed = [*map(change, given[:3]), *given[3:], change(ct)]
            check(nodes, dict(zip(variables, changed, strict=True)), wanted)


@pytest.mark.parametrize('dtype', DTYPES[:2])
@pytest.mark.parametrize(
    'options', [(2,), (2, 1), (3, 2, 1), ((2, 3), (1, 2), (1, 0), (2, 1), True), (2, 3, 1, 2)]
)
def test_maxima_of_windows(dtype: torch.dtype, options: tuple[Any, ...]) -> None:
    x, ct = ad.Variable('x'), ad.Variable('ct')
    value, positions = max_pool(x, 2, *options)
    image = entries(3, 5, 9, 11, dtype=dtype)
    feed: dict[ad.Node, torch.Tensor] = {x: image}
    for nodes in ([value], [positions], [value, positions]):
        check(nodes, feed, '_of_channels')
    feed[ct] = entries(*ad.Evaluator([value]).run(feed)[0].shape, dtype=dtype, seed=1)
    check(ad.gradients(ad.sum(value * ct), [x]), feed, '_of_channels')
    # Other layouts, and an example alone, take the kernel as it is.
    for other in (image.mT, image.contiguous(memory_format=torch.channels_last), image[0]):
        check([value, positions], {x: other}, 'max_pool_with_positions(')


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('options', [{}, {'stride': 2, 'padding': (1, 0)}, {'dilation': 2, 'groups': 2}])
@pytest.mark.parametrize('axes', [1, 2, 3])
def test_convolutions(axes: int, options: dict[str, Any], bias: bool) -> None:
    if axes != 2:
        options = options | {'padding': 1}
    draw = torch.Generator().manual_seed(4)
    sizes, groups = (7, 6, 5)[:axes], options.get('groups', 1)
    given = [(2, 4, *sizes), (6, 4 // groups, *(3, 2, 2)[:axes]), *([(6,)] if bias else [])]
    variables = [ad.Variable(f'x{i}') for i in range(len(given))]
    y = convolution(*variables, **options)
    feed = {v: torch.randn(s, generator=draw) for v, s in zip(variables, given, strict=True)}
    check([y, *ad.gradients(ad.sum(y * y), variables)], feed, 'convolution_backward(')


def test_gradients_of_all_pairs_of_layouts_of_images() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    y = convolution(ad.relu(x), w, padding=1)
    nodes = [y, *ad.gradients(ad.sum(ad.sin(max_pool(y, 2, 2)[0])), [x, w])]
    image, kernel = torch.randn(2, 3, 6, 6), torch.randn(4, 3, 3, 3)
    formats = torch.contiguous_format, torch.channels_last
    for one, two in itertools.product(formats, formats):
        feed = {x: image.contiguous(memory_format=one), w: kernel.contiguous(memory_format=two)}
        check(nodes, feed, 'convolution')
