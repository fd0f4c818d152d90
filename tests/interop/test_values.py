"""Functions of torch that read values of tensors without need: a recording, which has none, takes them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, distributions
from torch.nn import functional as F

import adjoint as ad
from tests.interop.compare import agrees_with_torch, close
from tests.ops.case import spread

X = spread(5, 3)
LOGITS = spread(6, 2, 5)
TARGETS = torch.tensor([[1, 2, 2], [3, 4, 1]])


@pytest.mark.parametrize('lengths', [((6, 5), (3, 2)), (torch.tensor([6, 5]), torch.tensor([3, 2]))])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_ctc_loss(reduction: str, lengths: tuple[Tensor, Tensor]) -> None:
    def program(x: Tensor) -> Tensor:
        return F.ctc_loss(x.log_softmax(-1), TARGETS, *lengths, reduction=reduction)

    graph = ad.from_torch(program, LOGITS)
    (g,) = ad.gradients(graph.outputs, graph.variables)
    value, got = ad.Evaluator([graph.outputs, g]).run(graph.feed(LOGITS))
    x = LOGITS.clone().requires_grad_()
    wanted = program(x)
    close(value, wanted.detach())
    close(got, torch.autograd.grad(wanted.sum(), x)[0])


def test_ctc_loss_of_its_module_with_lengths_as_arguments() -> None:
    loss = torch.nn.CTCLoss(blank=4, zero_infinity=True)

    def program(x: Tensor, lengths: Tensor) -> Tensor:
        return loss(x.log_softmax(-1), torch.tensor([[1, 2, 2], [3, 0, 1]]), lengths, torch.tensor([3, 3]))

    graph = ad.from_torch(program, LOGITS, torch.tensor([6, 6]))
    (g,) = ad.gradients(graph.outputs, graph.variables[:1])
    for lengths in (torch.tensor([6, 5]), torch.tensor([4, 2])):  # 3 labels do not fit into 2 steps
        x = LOGITS.clone().requires_grad_()
        wanted = program(x, lengths)
        value, got = ad.Evaluator([graph.outputs, g]).run(graph.feed(LOGITS, lengths))
        close(value, wanted.detach())
        close(got, torch.autograd.grad(wanted, x)[0])


def _narrowed(x: Tensor, start: Tensor) -> Tensor:
    return x.narrow(0, start, 2) * torch.narrow(x, -1, start, 1)[1:3]


def _written(x: Tensor, start: Tensor) -> Tensor:
    y = x * 2
    y.narrow(0, start, 2).mul_(x[:2])
    return y * x


@pytest.mark.parametrize('program', [_narrowed, _written])
def test_one_import_serves_every_start(program: Callable[[Tensor, Tensor], Tensor]) -> None:
    graph = ad.from_torch(program, X, torch.tensor(1))
    squared = ad.sum(graph.outputs**2)
    first = ad.gradients(squared, graph.variables[:1])
    second = ad.gradients(first[0], graph.variables[:1])
    for position in (1, 0, -2, -3):
        x, start = X.clone().requires_grad_(), torch.tensor(position)
        wanted = (program(x, start) ** 2).sum()
        (g,) = torch.autograd.grad(wanted, x, create_graph=True)
        found = ad.Evaluator([squared, *first, *second]).run(graph.feed(X, start))
        for got, want in zip(found, [wanted, g, *torch.autograd.grad(g.sum(), x)], strict=True):
            close(got, want.detach())


@pytest.mark.parametrize('r', [0, 1, 2, 3])
@pytest.mark.parametrize('again', [False, True])
def test_combinations(r: int, again: bool) -> None:
    if r == 0:
        assert ad.from_torch(lambda x: torch.combinations(x, 0), X[0])(X[0]).shape == (0,)
    else:
        agrees_with_torch(lambda x: torch.combinations(x[:, 0] * x[:, 1], r, again), X)


def test_what_is_made_keeps_the_dtype_that_was_the_default() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        graph = ad.from_torch(lambda x: x + torch.full((), torch.finfo(x.dtype).max), X)
        made = ad.from_torch(lambda n: torch.linspace(0, 1, 3) + n, torch.tensor(1))
    finally:
        torch.set_default_dtype(before)
    assert graph(-torch.full_like(X, torch.finfo(X.dtype).max)).eq(0).all()
    assert made(torch.tensor(1)).dtype == torch.float64


DENSITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'normal': lambda x, y: distributions.Normal(x, x.exp()).log_prob(y),
    'categorical': lambda x, y: distributions.Categorical(logits=x).log_prob(torch.arange(5) % 3) * y[:, 0],
    'laplace': lambda x, y: distributions.Laplace(x, y.exp()).log_prob(y),
    'bernoulli': lambda x, y: distributions.Bernoulli(logits=x).log_prob(y.gt(0).double()),
    'mixture': lambda x, y: distributions.MixtureSameFamily(
        distributions.Categorical(logits=x), distributions.Normal(x, y.exp())
    ).log_prob(y[:, 0]),
    'divergence': lambda x, y: distributions.kl_divergence(
        distributions.Normal(x, y.exp()), distributions.Normal(0.0, 1.0)
    ),
}


@pytest.mark.parametrize('name', DENSITIES)
def test_distributions_are_imported_without_their_checks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's compiler switches the checks off for good when it first runs: in another test, perhaps.
    monkeypatch.setattr(distributions.Distribution, '_validate_args', True)
    agrees_with_torch(DENSITIES[name], X, spread(5, 3, seed=1))
    with pytest.raises(ValueError, match='constraint'):
        distributions.Normal(torch.tensor(0.0), torch.tensor(-1.0))


def test_what_is_drawn_from_a_distribution_moves_with_its_parameters() -> None:
    def program(mean: Tensor, scale: Tensor) -> Tensor:
        return distributions.Normal(mean, scale).rsample()

    graph = ad.from_torch(program, X, X.exp())
    grads = ad.gradients(graph.outputs, graph.variables)
    value, by_mean, by_scale = ad.Evaluator([graph.outputs, *grads]).run(graph.feed(X, X.exp()))
    close(by_mean, torch.ones_like(X))
    close(X + by_scale * X.exp(), value)


@pytest.mark.parametrize(
    ('fill', 'mean', 'deviation'),
    [
        (lambda x: x.normal_(2.0, 3.0), 2.0, 3.0),
        (lambda x: x.uniform_(-1.0, 3.0), 1.0, 4 / 12**0.5),
        (lambda x: x.bernoulli_(0.25), 0.25, (0.25 * 0.75) ** 0.5),
        (lambda x: x.exponential_(2.0), 0.5, 0.5),
        (lambda x: x.geometric_(0.5), 2.0, 2**0.5),
    ],
)
def test_random_numbers_in_place(fill: Callable[[Tensor], Tensor], mean: float, deviation: float) -> None:
    graph = ad.from_torch(lambda x: fill(torch.empty_like(x)), torch.empty(200, 100, dtype=torch.float64))
    drawn = graph(torch.empty(200, 100, dtype=torch.float64))
    count = drawn.numel() ** 0.5
    assert abs(float(drawn.mean()) - mean) < 5 * deviation / count
    assert abs(float(drawn.std()) - deviation) < 20 * deviation / count
