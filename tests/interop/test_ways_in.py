"""Programs as users write them: what they take and return, and what hangs on them unseen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import adjoint as ad
from tests.interop.compare import agrees_with_torch, close
from tests.ops.case import spread

X = spread(4, 6)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Found:
    value: Any


class Batch:
    def __init__(self, value: Tensor) -> None:
        self.value = value


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 3, dtype=torch.float64)


def test_results_keep_their_structure_with_none_and_what_is_no_tensor() -> None:
    graph = ad.from_torch(lambda x: {'a': Pair(x * 2, None), 'b': [None, 3, x.sum()]}, X)
    pair, rest = graph.outputs['a'], graph.outputs['b']
    assert isinstance(pair, Pair)
    assert pair.second is None
    assert rest[:2] == [None, 3]
    twice, total = ad.Evaluator([pair.first, rest[2]]).run(graph.feed(X))
    close(twice, 2 * X)
    close(total, X.sum())
    assert ad.from_torch(lambda _: None, X).outputs is None


@pytest.mark.parametrize(('program', 'given'), [(Found, X), (lambda b: b.value * 2, Batch(X))])
def test_tensors_in_objects_are_refused(program: Callable[..., Any], given: Any) -> None:
    with pytest.raises(ad.UnsupportedOpError, match='whose tensors a graph does not see'):
        ad.from_torch(program, given)


class Remembers(nn.Module):
    """Leaves tensors of its run in attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = layer()
        self.calls = 0
        self.last: Tensor | None = None
        self.all: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.layer(x)
        self.last = y
        self.all.append(y)
        return y


def test_a_module_is_left_as_it_was() -> None:
    model = Remembers()
    ad.from_torch(model, X)
    assert (model.calls, model.last, model.all) == (0, None, [])
    close(model(X).detach(), model.layer(X).detach())


class Converts(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer, self.dtype = layer(), dtype

    def forward(self, x: Tensor) -> Tensor:
        self.layer = self.layer.to(self.dtype)
        return self.layer(x)


def test_a_conversion_inside_that_changes_nothing_is_followed() -> None:
    model = Converts(torch.float64)
    graph = ad.from_torch(model, X)
    close(graph(X), model(X).detach())
    with pytest.raises(ad.UnsupportedOpError, match=r"conversion of 'weight' from torch\.float64"):
        ad.from_torch(Converts(torch.float32), X)


class SpectralTwin(nn.Module):
    """A layer normalised by a step of the power iteration, which torch writes with ``out=``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(layer())

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sin()


def test_spectral_norm_in_training_mode_with_its_updates() -> None:
    model = SpectralTwin()
    graph = ad.from_torch(model, X)
    names = list(graph.parameters)
    grads = ad.gradients(ad.sum(graph.outputs), [graph.parameters[n] for n in names])
    feed = graph.feed(X)
    value, *found = ad.Evaluator([graph.outputs, *grads, *graph.updates.values()]).run(feed)
    updates = {n: v.clone() for n, v in zip(graph.updates, found[len(names) :], strict=True)}
    assert len(updates) == 2
    y = model(X)
    close(value, y.detach())
    own = dict(model.named_parameters())
    for got, wanted in zip(found, torch.autograd.grad(y.sum(), [own[n] for n in names]), strict=False):
        close(got, wanted)
    for name, buffer in model.named_buffers():
        close(updates[name], buffer)


@pytest.mark.parametrize('is_frozen', [False, True])
def test_attention_is_that_which_has_a_derivative(is_frozen: bool) -> None:
    torch.manual_seed(0)
    once = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, dtype=torch.float64)
    model = nn.TransformerEncoder(once, 2).eval().requires_grad_(not is_frozen)
    mask = torch.tensor([[False] * 4, [False, False, True, True]])
    with sdpa_kernel(SDPBackend.MATH):  # the one that torch has a second derivative of
        agrees_with_torch(lambda x: model(x, src_key_padding_mask=mask), spread(2, 4, 6))


def test_attention_without_its_weights() -> None:
    torch.manual_seed(0)
    model = nn.MultiheadAttention(6, 2, batch_first=True, dtype=torch.float64)
    graph = ad.from_torch(model, X, X, X, kwargs={'need_weights': False})
    value, none = graph.outputs
    assert none is None
    close(ad.Evaluator([value]).run(graph.feed(X, X, X, need_weights=False))[0], model(X, X, X)[0].detach())


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_compiled_function_is_what_it_was_made_of() -> None:
    graph = ad.from_torch(torch.compile(_doubled_sine), X)
    (g,) = ad.Evaluator(ad.gradients(graph.outputs, graph.variables)).run(graph.feed(X))
    close(g, 2 * X.cos())


def _doubled_sine(x: Tensor) -> Tensor:
    return x.sin() * 2


def test_a_copy_of_a_tensor_is_a_tensor_of_its_own() -> None:
    graph = ad.from_torch(lambda x: x.__deepcopy__({}) * x, X)
    (g,) = ad.Evaluator(ad.gradients(graph.outputs, graph.variables)).run(graph.feed(X))
    close(g, X)


def _in_half(x: Tensor) -> Tensor:
    with torch.autocast('cpu', dtype=torch.bfloat16):
        return x @ x.t()


def _packed(x: Tensor) -> Any:
    lstm = nn.LSTM(6, 2, dtype=torch.float64)
    packed = nn.utils.rnn.pack_padded_sequence(x.unsqueeze(1), torch.tensor([3]))
    return lstm(packed)[0].data


def _saved(x: Tensor) -> Tensor:
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t):
        return x.sin()


class Doubling(torch.autograd.graph.saved_tensors_hooks):
    def __init__(self) -> None:
        super().__init__(lambda t: t * 2, lambda t: t)


def _saved_by_a_kind(x: Tensor) -> Tensor:
    with Doubling():
        return x.sin()


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize(
    ('program', 'message'),
    [
        (lambda x: torch.jit.script(_doubled_sine)(x), 'TorchScript'),
        (_in_half, 'torch.autocast'),
        (_packed, 'packed sequence'),
        (_saved, 'saved_tensors_hooks'),
        (_saved_by_a_kind, 'Doubling'),
        (lambda x: torch.sin(x, out=torch.empty(0, dtype=x.dtype)), 'out='),
    ],
)
def test_what_no_recording_shows_is_refused_by_name(program: Callable[..., Any], message: str) -> None:
    with pytest.raises(ad.UnsupportedOpError, match=message) as caught:
        ad.from_torch(program, X)
    assert 'test_ways_in.py' in str(caught.value)


def _hooked() -> nn.Module:
    model = layer()
    model.weight.register_hook(lambda g: g * 2)
    return model


def _hooked_whole() -> nn.Module:
    model = nn.Sequential(layer())
    model[0].register_full_backward_hook(lambda *_: None)
    return model


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (_hooked, "'weight' has a hook on its gradient"),
        (_hooked_whole, "'0' has a backward hook"),
        (lambda: nn.LazyLinear(3), "'weight' has no shape yet"),
        (lambda: nn.Sequential(torch.jit.script(layer())), "'0' is one of TorchScript"),
    ],
)
def test_what_hangs_on_a_module_is_refused_by_name(model: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ad.UnsupportedOpError, match=message) as caught:
        ad.from_torch(model(), X)
    assert 'test_ways_in.py' in str(caught.value)


def test_nodes_of_a_layer_of_torch_come_from_the_line_that_imports_it() -> None:
    graph = ad.from_torch(nn.Sequential(layer(), nn.Tanh()), X)
    assert graph.outputs.location.short.startswith('test_ways_in.py')
    assert graph.outputs.location.module == '1'


@pytest.mark.parametrize('sizes', [None, {'x0': {0: 'batch'}}])
def test_dropout_has_one_mask_forward_and_backward(sizes: Any) -> None:
    def program(x: Tensor) -> Tensor:
        return F.dropout(x, 0.5) * 3

    ones = torch.ones(40, 6, dtype=torch.float64)
    graph = ad.from_torch(program, ones[:7], dynamic_shapes=sizes, seed=3)
    given = ones[:7] if sizes is None else ones
    nodes = [graph.outputs, *ad.gradients(ad.sum(graph.outputs), graph.variables)]
    (value, g), (again, _) = (ad.Evaluator(nodes).run(graph.feed(given)) for _ in range(2))
    assert 0 < int((value == 0).sum()) < value.numel()
    close(value, g)
    assert torch.equal(value, again)
    other = ad.from_torch(program, ones[:7], dynamic_shapes=sizes, seed=4)
    assert not torch.equal(other(given), value)


def test_an_input_that_gives_nothing_but_its_size() -> None:
    graph = ad.from_torch(
        lambda x, y: y * x.shape[0] + x.size(0) / 2, X, X[0], dynamic_shapes={'x0': {0: 'n'}, 'x1': None}
    )
    (x, y), _ = graph.inputs
    close(graph(spread(7, 6), X[0]), X[0] * 7 + 3.5)
    (g,) = ad.gradients(ad.sum(graph.outputs), [y])
    for executor in ('plan', 'reference'):
        run = ad.Evaluator([graph.outputs, g], executor=executor)
        for n in (7, 7, 3, 7):
            value, grad = run.run({y: X[0], x: spread(n, 6)})
            close(value, X[0] * n + n / 2)
            close(grad, torch.full_like(X[0], n))
    with pytest.raises(ad.MissingInputError, match="what the size 'n' is"):
        run.run({y: X[0]})


class Causal(nn.Module):
    """As in GPT-2: a mask for the longest sequence, cut to the length of this one."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('mask', torch.tril(torch.ones(8, 8, dtype=torch.float64)))
        self.places = nn.Parameter(spread(8, 6))

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        x = x + self.places[:length]
        scores = (x @ x.mT).masked_fill(self.mask[:length, :length] == 0, -torch.inf)
        return scores.softmax(-1) @ x


def test_a_buffer_is_cut_to_a_free_length() -> None:
    module = Causal()
    graph = ad.from_torch(module, spread(2, 5, 6), dynamic_shapes={'x0': {0: 'n', 1: 'length'}})
    assert graph.outputs.type is not None
    assert graph.outputs.type.shape == ('n', 'length', 6)
    grads = ad.gradients(ad.sum(graph.outputs**2), graph.variables)
    run = ad.Evaluator([graph.outputs, *grads])
    for n, length in ((3, 7), (2, 2), (4, 5)):
        x = spread(n, length, 6).requires_grad_()
        value, *found = run.run(graph.feed(x.detach()))
        wanted = module(x)
        close(value, wanted.detach())
        for name, g in zip(graph.variables, found, strict=True):
            of = module.places if name is graph.parameters['places'] else x
            close(g, torch.autograd.grad((wanted**2).sum(), of, retain_graph=True)[0])
    with pytest.raises(ad.ShapeError, match='length <= 8'):
        graph(spread(2, 9, 6))
