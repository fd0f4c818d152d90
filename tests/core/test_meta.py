"""What common ops give without data: as torch says, and without its compiler."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from adjoint.core import meta as mode
from adjoint.core.meta import Shapes
from adjoint.core.meta_rules import _RULES, rule_of
from adjoint.execute.internals import memory_of

F = torch.nn.functional


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device='meta')


def told(call: Callable[[], Any]) -> Any:
    """Shapes and dtypes of what a call gives, or the kind of the error."""
    try:
        value = call()
    except (RuntimeError, IndexError, TypeError, NotImplementedError, AssertionError) as error:
        return type(error)
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return [None if x is None else (tuple(x.shape), x.dtype, x.device.type) for x in parts]


DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
SIZES = ((), (4,), (3, 4), (2, 3, 4), (0, 4), (2, 3, 4, 4))
EXAMPLES = [meta(*shape, dtype=dtype) for dtype in DTYPES for shape in SIZES]
# Along each axis, one that is none, and of operands of which it is refused.
ONE: dict[str, Callable[[torch.Tensor], Any]] = {
    'sin': torch.sin,
    'abs': torch.abs,
    'neg': torch.neg,
    'hardswish': F.hardswish,
    'relu': torch.relu,
    'add a number': lambda x: x + 1,
    'add half': lambda x: x + 0.5,
    'number to the power': lambda x: 2**x,
    'cube': lambda x: x**3,
    'clamp': lambda x: x.clamp(0, 1),
    'log_sigmoid': F.logsigmoid,
    'softmax': lambda x: torch.softmax(x, 0),
    'softmax, no such axis': lambda x: torch.softmax(x, 5),
    'log_softmax': lambda x: torch.log_softmax(x, -1),
    'log_softmax, no such axis': lambda x: torch.log_softmax(x, 5),
    'safe_softmax': lambda x: torch.ops.aten._safe_softmax(x, -1),
    'mean': torch.mean,
    'mean along the last': lambda x: torch.mean(x, -1),
    'mean along both': lambda x: torch.mean(x, (0, -1), keepdim=True),
    'mean, no such axis': lambda x: torch.mean(x, 4),
    'mean as double': lambda x: torch.mean(x, dtype=torch.float64),
    'logsumexp': lambda x: torch.logsumexp(x, -1),
    'logsumexp, kept': lambda x: torch.logsumexp(x, (0,), keepdim=True),
    'any': torch.any,
    'any along the last': lambda x: torch.any(x, -1),
    'all': torch.all,
    'all along the last': lambda x: torch.all(x, -1),
    'any along both': lambda x: torch.any(x, (0, -1), keepdim=True),
    'all along both': lambda x: torch.all(x, (0, -1), keepdim=True),
    'cumsum': lambda x: torch.cumsum(x, -1),
    'cumsum, no such axis': lambda x: torch.cumsum(x, 3),
    'cumprod': lambda x: torch.cumprod(x, 0),
    'norm': torch.linalg.vector_norm,
    'norm along the last': lambda x: torch.linalg.vector_norm(x, 3, -1, keepdim=True),
    'layer_norm': lambda x: F.layer_norm(x, x.shape[-1:]),
    'layer_norm of other sizes': lambda x: F.layer_norm(x, (7,)),
    'layer_norm with weights': lambda x: F.layer_norm(x, (4,), *(meta(4, dtype=x.dtype) for _ in range(2))),
    'layer_norm with too many weights': lambda x: F.layer_norm(x, (4,), meta(5, dtype=x.dtype)),
    'layer_norm with others': lambda x: F.layer_norm(x, (4,), meta(4, dtype=torch.float64)),
    'derivative of layer_norm': lambda x: torch.ops.aten.native_layer_norm_backward(
        x, x, x.shape[-1:], x[..., :1], x[..., :1], None, None, [True, False, False]
    ),
    'batch_norm': lambda x: F.batch_norm(x, None, None, training=True),
    'zeros_like': torch.zeros_like,
    'ones_like': lambda x: torch.ones_like(x, dtype=torch.int32),
    'full_like': lambda x: torch.full_like(x, 2.5),
    'sum': torch.sum,
    'sum along the last': lambda x: torch.sum(x, -1),
    'sum along both': lambda x: torch.sum(x, (0, -1), keepdim=True),
    'sum along one twice': lambda x: torch.sum(x, (-1, -1)),
    'sum of no axes': lambda x: torch.sum(x, ()),
    'sum, no such axis': lambda x: torch.sum(x, 3),
    'sum as double': lambda x: torch.sum(x, -1, dtype=torch.float64),
    'largest': torch.amax,
    'smallest along the last': lambda x: torch.amin(x, -1, keepdim=True),
    'smallest, no such axis': lambda x: torch.amin(x, 3),
    'flip': lambda x: torch.flip(x, (-1,)),
    'flip twice': lambda x: torch.flip(x, (-1, -1)),
    'flip, no such axis': lambda x: torch.flip(x, (3,)),
    'gather': lambda x: torch.gather(x, -1, meta(*(2 for _ in x.shape), dtype=torch.int64)),
    'gather by other axes': lambda x: torch.gather(x, -1, meta(2, dtype=torch.int64)),
    'gather by floats': lambda x: torch.gather(x, -1, meta(*x.shape)),
    'gather more': lambda x: torch.gather(x, 0, meta(*(7 for _ in x.shape), dtype=torch.int64)),
    'scatter': lambda x: x.scatter(-1, meta(*(2 for _ in x.shape), dtype=torch.int64), 1),
    'scatter one': lambda x: x.scatter(-1, meta(*x.shape, dtype=torch.int64), x),
    'scatter of another dtype': lambda x: x.scatter(-1, meta(*x.shape, dtype=torch.int64), x.to(torch.int8)),
    'scatter_add': lambda x: x.scatter_add(-1, meta(*(2 for _ in x.shape), dtype=torch.int64), x),
    'scatter_add of less': lambda x: x.scatter_add(
        -1, meta(*(9 for _ in x.shape), dtype=torch.int64), x
    ),
    'index_add': lambda x: x.index_add(-1, meta(4, dtype=torch.int64), x),
    'index_add of less': lambda x: x.index_add(-1, meta(3, dtype=torch.int64), x),
    'index_add of another dtype': lambda x: x.index_add(-1, meta(4, dtype=torch.int64), x.to(torch.int8)),
    'index': lambda x: x[meta(5, 2, dtype=torch.int64)],
    'index of the last': lambda x: x[..., meta(5, 2, dtype=torch.int64)],
    'index by a mask': lambda x: x[meta(*x.shape, dtype=torch.bool)],
    'index by two': lambda x: x[meta(5, dtype=torch.int64), meta(2, 1, dtype=torch.int64)],
    'matrices': lambda x: x @ meta(4, 5, dtype=x.dtype),
    'matrices of another size': lambda x: x @ meta(3, 5, dtype=x.dtype),
    'matrices of another dtype': lambda x: x @ meta(4, 5, dtype=torch.int8),
    'embedding': lambda x: F.embedding(meta(5, 2, dtype=torch.int64), x),
    'embedding by a table of vectors': lambda x: F.embedding(meta(5, dtype=torch.int64), x),
    'convolution': lambda x: F.conv1d(x, meta(2, 3, 3, dtype=x.dtype), meta(2, dtype=x.dtype), padding=1),
    'convolution of other channels': lambda x: F.conv1d(x, meta(2, 7, 3, dtype=x.dtype)),
    'convolution of another dtype': lambda x: F.conv1d(x, meta(2, 3, 3, dtype=torch.int8)),
    'convolution in two axes': lambda x: F.conv2d(x, meta(2, 3, 3, 1, dtype=x.dtype), stride=2),
    'pool': lambda x: F.max_pool2d(x, 2, return_indices=True),
    'pool of too little': lambda x: F.max_pool2d(x, 7),
    'derivative of a convolution': lambda x: torch.ops.aten.convolution_backward(
        x[..., 1:-1], x, meta(3, 3, 3, dtype=x.dtype), None, [1], [0], [1], False, [0], 1, [True, True, False]
    ),
    'roll': lambda x: torch.roll(x, 1, 0),
    'tril': torch.tril,
    'triu': lambda x: torch.triu(x, 1),
    'glu': lambda x: F.glu(x, -1),
    'glu of the first': lambda x: F.glu(x, 0),
    'cat': lambda x: torch.cat([x, x], -1),
    'cat, no such axis': lambda x: torch.cat([x, x], 3),
    'cat with doubles': lambda x: torch.cat([x, x.to(torch.float64)]),
    'cat of other sizes': lambda x: torch.cat([x, meta(1, 1, 1)]),
    'cat with none': lambda x: torch.cat([x, meta(0)]),
    'stack': lambda x: torch.stack([x, x], -1),
    'stack of other sizes': lambda x: torch.stack([x, meta(1, 1, 1)]),
    'two vectors': lambda x: x @ x,
    'vector': lambda x: x @ meta(4, dtype=x.dtype),
    'vector of another size': lambda x: x @ meta(5, dtype=x.dtype),
    'broadcast': lambda x: x * meta(3, 1, dtype=torch.int32),
    'what does not fit': lambda x: x + meta(5),
    'with a scalar': lambda x: x + meta(dtype=torch.float64),
    'compare': lambda x: x < meta(4),
    'where': lambda x: torch.where(meta(4, dtype=torch.bool), x, 0.0),
    'polar': lambda x: torch.polar(x, x),
    'view': lambda x: x.expand(2, *x.shape),
}  # fmt: skip


@pytest.mark.parametrize('name', ONE)
def test_a_rule_says_what_torch_says(name: str) -> None:
    for x in EXAMPLES:
        wanted = told(partial(ONE[name], x))
        with Shapes():
            found = told(partial(ONE[name], x))
        assert found == wanted, (x.dtype, x.shape)


OF_NUMBERS: tuple[Callable[[], torch.Tensor], ...] = (
    lambda: torch.arange(2, 11, 3, device='meta'),
    lambda: torch.arange(5, 2, -2, device='meta'),
    lambda: torch.arange(7, device='meta'),
    lambda: torch.arange(2, 7, dtype=torch.int32, device='meta'),
    lambda: torch.arange(3, 3, device='meta'),
    lambda: torch.arange(5, 2, device='meta'),
    lambda: torch.arange(0, 5, 1, dtype=torch.float64, device='meta'),
    lambda: torch.arange(0.5, 3, device='meta'),
    lambda: torch.arange(0, 4, 0, device='meta'),
    lambda: torch.eye(3, device='meta'),
    lambda: torch.eye(3, 2, dtype=torch.int64, device='meta'),
    lambda: torch.eye(-1, device='meta'),
)


@pytest.mark.parametrize('call', OF_NUMBERS)
def test_what_is_made_of_no_tensor_is_told_too(call: Callable[[], torch.Tensor]) -> None:
    wanted = told(call)
    with Shapes():
        assert told(call) == wanted


def test_every_rule_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none does, torch is asked, and says what torch says."""
    answered: set[Any] = set()

    def watched(func: Any) -> Any:
        rule = rule_of(func)

        def answer(*args: Any, **kwargs: Any) -> Any:
            assert rule is not None
            made = rule(*args, **kwargs)
            if made is not None:
                answered.add(func)
            return made

        return None if rule is None else answer

    monkeypatch.setattr(mode, 'rule_of', watched)
    with Shapes():
        for call in (*(partial(each, x) for each in ONE.values() for x in EXAMPLES), *OF_NUMBERS):
            told(call)
    assert _RULES.keys() <= answered
    assert {
        torch.ops.aten.sin.default,
        torch.ops.aten.add.Tensor,
        torch.ops.aten.hardswish.default,
    } <= answered


def test_what_an_op_makes_of_numbers_keeps_its_data() -> None:
    with Shapes():
        steps = torch.arange(4)
        assert torch.sum(torch.cat([steps, torch.ones_like(steps)])).item() == 10
        assert torch.where(steps > 1, steps, 0).tolist() == [0, 0, 2, 3]
        assert torch.eye(2, device='cpu').tolist() == [[1, 0], [0, 1]]
        assert torch.zeros_like(meta(2), device='cpu').tolist() == [0, 0]
        assert steps.index_add(0, torch.tensor([1]), torch.tensor([5])).tolist() == [0, 6, 2, 3]
        with torch.device('meta'):
            assert torch.arange(4).is_meta


def test_what_changes_an_operand_gives_that_operand() -> None:
    with Shapes():
        x = meta(2, 3)
        assert x.add_(1) is x
        assert x.mul_(meta(3)) is x
        with pytest.raises(RuntimeError, match='shape'):
            x[0].add_(meta(2, 3))
        with pytest.raises(RuntimeError, match=r'[Pp]romotion|cast'):
            meta(3, dtype=torch.int64).add_(0.5)
        assert memory_of(x.expand(4, 2, 3)) == memory_of(x) != memory_of(x + 1)


@pytest.mark.parametrize('typed', ['', ', (8, 6), torch.float32'])
def test_models_are_typed_and_planned_without_the_compiler(typed: str) -> None:
    code = f"""
import sys
import torch
import adjoint as ad

class Mine(ad.Op):
    def compute(self, node, input_values):
        x, = input_values
        return torch.exp(-x ** 2) + torch.where(x > 0, x, 0.5)
    def gradient(self, node, output_grad):
        return [output_grad]

x = ad.Variable('x'{typed})
h = ad.softmax(ad.layernorm(ad.gelu(Mine()(x)), (6,)), 0)
h = ad.cat([h, ad.silu(h) * ad.sigmoid(h)], 1) / ad.softplus(ad.mean(h))
loss = -ad.mean(ad.log_softmax(h @ ad.transpose(h, 0, 1), 1)) + ad.logsumexp(ad.cumsum(h, 0), 1)[0]
nodes = [loss, *ad.gradients(loss, [x])]
for _ in range(3):
    ad.Evaluator(nodes, optimize='fast').run({{x: torch.ones(8, 6)}})
    evaluator = ad.Evaluator(nodes)
    for _ in range(3):
        evaluator.run({{x: torch.ones(8, 6)}})
assert evaluator.program({{x: torch.ones(8, 6)}})
print([name for name in ('torch._dynamo', 'torch._inductor', 'sympy') if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert ran.stderr == ''
    assert ran.stdout.strip() == '[]'
