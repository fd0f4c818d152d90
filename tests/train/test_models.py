"""The models against the same written with torch, in value and gradient."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import adjoint as ad
from adjoint.train import models

SIZE, CLASSES = (6, 5), 7


def logistic(p: Mapping[str, Tensor], images: Tensor) -> Tensor:
    return functional.linear(images.flatten(1), p['head_weight'].mT, p['head_bias'])


def mlp(p: Mapping[str, Tensor], images: Tensor) -> Tensor:
    x = images.flatten(1)
    x = functional.relu(x @ p['hidden1_weight'] + p['hidden1_bias'])
    x = functional.relu(x @ p['hidden2_weight'] + p['hidden2_bias'])
    return x @ p['head_weight'] + p['head_bias']


def transformer(p: Mapping[str, Tensor], images: Tensor) -> Tensor:
    def linear(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, p[f'{name}_weight'].mT, p[f'{name}_bias'])

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (64,), p[f'{name}_scale'], p[f'{name}_shift'])

    x = linear('tokens', images) + p['positions']
    query, key, value = (linear(f'attention_{k}', x) for k in ('query', 'key', 'value'))
    read = functional.scaled_dot_product_attention(query, key, value, scale=1 / math.sqrt(64))
    x = norm('norm1', x + linear('attention_output', read))
    x = norm('norm2', x + linear('feed2', functional.relu(linear('feed1', x))))
    return linear('head', x.mean(1))


REFERENCES = {'logistic': logistic, 'mlp': mlp, 'transformer': transformer}


def batch(count: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = torch.rand((count, *SIZE), dtype=torch.float64, generator=generator).to(dtype)
    return images, torch.randint(0, CLASSES, (count,), generator=generator)


def feed(
    model: models.Model, values: Mapping[str, Tensor], images: Tensor, labels: Tensor
) -> dict[ad.Node, Tensor]:
    named = {node: values[name] for name, node in model.parameters.items()}
    return {**named, model.images: images, model.labels: labels}


@pytest.mark.parametrize('name', REFERENCES)
@pytest.mark.parametrize('count', [1, 4, 33])
def test_value_and_gradient_are_those_of_torch(name: str, count: int) -> None:
    model = models.build(name, SIZE, CLASSES, torch.float64)
    values = model.initial(3)
    # Away from the initial point, so that no bias is zero and no scale is one.
    generator = torch.Generator().manual_seed(5)
    values = {
        key: value + 0.1 * torch.randn(value.shape, dtype=value.dtype, generator=generator)
        for key, value in values.items()
    }
    images, labels = batch(count)
    nodes = list(model.parameters.values())
    evaluator = ad.Evaluator([model.logits, model.loss, *ad.gradients(model.loss, nodes)])
    logits, loss, *found = evaluator.run(feed(model, values, images, labels))

    leaves = {key: value.clone().requires_grad_() for key, value in values.items()}
    expected = REFERENCES[name](leaves, images)
    expected_loss = functional.cross_entropy(expected, labels)
    expected_loss.backward()
    torch.testing.assert_close(logits, expected.detach(), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(loss, expected_loss.detach(), rtol=1e-14, atol=0)
    for key, gradient in zip(model.parameters, found, strict=True):
        torch.testing.assert_close(gradient, leaves[key].grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('name', REFERENCES)
def test_one_graph_serves_every_batch_size(name: str) -> None:
    model = models.build(name, SIZE, CLASSES, torch.float64)
    values = model.initial(0)
    evaluator = ad.Evaluator([model.logits, model.loss, model.correct, model.predictions])
    images, labels = batch(9)
    whole = evaluator.run(feed(model, values, images, labels))
    single = [evaluator.run(feed(model, values, images[k : k + 1], labels[k : k + 1])) for k in range(9)]
    torch.testing.assert_close(torch.cat([s[0] for s in single]), whole[0], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(torch.stack([s[1] for s in single]).mean(), whole[1])
    assert sum(int(s[2]) for s in single) == int(whole[2])
    assert torch.equal(torch.cat([s[3] for s in single]), whole[3])
    assert int(whole[2]) == int((whole[0].argmax(1) == labels).sum())


@pytest.mark.parametrize('name', REFERENCES)
def test_everything_stays_float32(name: str) -> None:
    model = models.build(name, SIZE, CLASSES, torch.float32)
    images, labels = batch(3, torch.float32)
    nodes = list(model.parameters.values())
    outputs = [model.logits, model.loss, *ad.gradients(model.loss, nodes)]
    values = ad.Evaluator(outputs).run(feed(model, model.initial(0), images, labels))
    assert {value.dtype for value in values} == {torch.float32}


@pytest.mark.parametrize('name', REFERENCES)
def test_initial_values_depend_on_the_seed_alone(name: str) -> None:
    model = models.build(name, SIZE, CLASSES, torch.float64)
    again = models.build(name, SIZE, CLASSES, torch.float32)
    first, second, other = model.initial(1), again.initial(1), model.initial(2)
    for key, value in first.items():
        assert tuple(value.shape) == model.parameters[key].shape
        assert torch.equal(value.to(torch.float32), second[key])
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_untrained_loss_is_that_of_guessing() -> None:
    model = models.build('logistic', SIZE, CLASSES, torch.float64)
    zeros = {key: torch.zeros_like(value) for key, value in model.initial(0).items()}
    images, labels = batch(20)
    (loss,) = ad.Evaluator([model.loss]).run(feed(model, zeros, images, labels))
    assert float(loss) == pytest.approx(math.log(CLASSES), rel=1e-15)


def test_batches_of_images_and_labels_must_agree() -> None:
    model = models.build('logistic', SIZE, CLASSES, torch.float64)
    images, labels = batch(4)
    with pytest.raises(ad.ShapeError, match="axis 0 has size 3, and 'batch' is 4"):
        ad.Evaluator([model.loss]).run(feed(model, model.initial(0), images, labels[:3]))
