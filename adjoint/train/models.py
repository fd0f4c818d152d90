"""Image classifiers, each a graph of our ops: logistic regression, a perceptron, a transformer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

import adjoint as ad

BATCH = 'batch'

Draw: TypeAlias = Callable[[torch.Generator], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Model:
    """A classifier of images as a graph; the number of images is the size named ``'batch'``.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    images : ad.Node
        Input of shape ``(batch, height, width)``.
    labels : ad.Node
        Input of shape ``(batch,)``, ``int64``.
    parameters : Mapping[str, ad.Node]
        The inputs that are learned, by name.
    logits : ad.Node
        Of shape ``(batch, classes)``.
    predictions : ad.Node
        The class with the highest logit, of shape ``(batch,)``, ``int64``.
    loss : ad.Node
        Mean of the softmax cross-entropy, 0-d.
    correct : ad.Node
        Number of predictions that are right, 0-d.
    draws : Mapping[str, Draw]
        How the initial value of each parameter is drawn.
    size : tuple[int, int]
        Height and width of the images, in pixels.
    classes : int
        Number of classes.
    """

    name: str
    images: ad.Node
    labels: ad.Node
    parameters: Mapping[str, ad.Node]
    logits: ad.Node
    predictions: ad.Node
    loss: ad.Node
    correct: ad.Node
    draws: Mapping[str, Draw]
    size: tuple[int, int]
    classes: int

    def initial(self, seed: int) -> dict[str, Tensor]:
        """Draw the initial parameters.

        Parameters
        ----------
        seed : int
            The same seed gives the same values, up to rounding in every dtype.

        Returns
        -------
        dict[str, Tensor]
            By the names of the parameters.
        """
        generator = torch.Generator().manual_seed(seed)
        return {
            name: self.draws[name](generator).to(parameter.dtype)
            for name, parameter in self.parameters.items()
        }


@final
class Layers:
    """The parts that models are made of; it collects their parameters.

    Parameters
    ----------
    dtype : torch.dtype
        Of the parameters.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.parameters: dict[str, ad.Node] = {}
        self.draws: dict[str, Draw] = {}

    def parameter(self, name: str, shape: tuple[int, ...], draw: Draw) -> ad.Node:
        """Declare a parameter and how its initial value is drawn."""
        self.parameters[name] = ad.Variable(name, shape=shape, dtype=self.dtype)
        self.draws[name] = draw
        return self.parameters[name]

    def linear(self, name: str, x: ad.Node, inputs: int, outputs: int) -> ad.Node:
        """Apply ``x @ W + b`` over the last axis.

        Notes
        -----
        ``W`` is drawn uniformly with the variance ``1 / inputs``, ``b`` is zero.
        """
        bound = math.sqrt(3 / inputs)
        weight = self.parameter(
            f'{name}_weight', (inputs, outputs), lambda g: _uniform((inputs, outputs), bound, g)
        )
        bias = self.parameter(f'{name}_bias', (outputs,), lambda _: torch.zeros(outputs))
        return x @ weight + bias

    def layer_norm(self, name: str, x: ad.Node, width: int) -> ad.Node:
        """Normalise over the last axis, then scale and shift."""
        scale = self.parameter(f'{name}_scale', (width,), lambda _: torch.ones(width))
        shift = self.parameter(f'{name}_shift', (width,), lambda _: torch.zeros(width))
        return ad.layernorm(x, (width,)) * scale + shift

    def positions(self, name: str, tokens: int, width: int) -> ad.Node:
        """Declare a learned embedding of the positions, drawn with the deviation 0.1."""
        shape = (tokens, width)
        return self.parameter(name, shape, lambda g: _normal(shape, 0.1, g))

    def attention(self, name: str, x: ad.Node, width: int) -> ad.Node:
        """Let each token read all others, with one head.

        Notes
        -----
        ``softmax(Q K^T / sqrt(width)) V``, then a linear map.

        References
        ----------
        A. Vaswani et al., Attention Is All You Need, 2017.
        """
        query = self.linear(f'{name}_query', x, width, width)
        key = self.linear(f'{name}_key', x, width, width)
        value = self.linear(f'{name}_value', x, width, width)
        scores = query @ ad.transpose(key, -2, -1) / math.sqrt(width)
        return self.linear(f'{name}_output', ad.softmax(scores, dim=-1) @ value, width, width)


def build(name: str, size: tuple[int, int], classes: int, dtype: torch.dtype) -> Model:
    """Build a model.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    size : tuple[int, int]
        Height and width of the images, in pixels.
    classes : int
        Number of classes.
    dtype : torch.dtype
        Of images and parameters.

    Returns
    -------
    Model
        The graph with its inputs; nothing is computed yet.

    Examples
    --------
    >>> model = build('logistic', size=(8, 8), classes=10, dtype=torch.float32)
    >>> {name: tuple(value.shape) for name, value in model.initial(seed=0).items()}
    {'head_weight': (64, 10), 'head_bias': (10,)}
    """
    layers = Layers(dtype)
    images = ad.Variable('images', shape=(BATCH, *size), dtype=dtype)
    labels = ad.Variable('labels', shape=(BATCH,), dtype=torch.int64)
    logits = MODELS[name](layers, images, size, classes)
    taken = ad.gather(ad.log_softmax(logits, dim=-1), 1, ad.unsqueeze(labels, 1))
    predictions = ad.argmax(logits, dim=-1)
    return Model(
        name=name,
        images=images,
        labels=labels,
        parameters=layers.parameters,
        logits=logits,
        predictions=predictions,
        loss=-ad.mean(taken),
        correct=ad.sum(ad.eq(predictions, labels)),
        draws=layers.draws,
        size=size,
        classes=classes,
    )


def logistic(layers: Layers, images: ad.Node, size: tuple[int, int], classes: int) -> ad.Node:
    """Return the logits of a multinomial logistic regression on the pixels."""
    pixels = size[0] * size[1]
    return layers.linear('head', ad.reshape(images, (-1, pixels)), pixels, classes)


def mlp(layers: Layers, images: ad.Node, size: tuple[int, int], classes: int, hidden: int = 128) -> ad.Node:
    """Return the logits of a perceptron with two hidden layers of rectified units."""
    pixels = size[0] * size[1]
    x = ad.reshape(images, (-1, pixels))
    x = ad.relu(layers.linear('hidden1', x, pixels, hidden))
    x = ad.relu(layers.linear('hidden2', x, hidden, hidden))
    return layers.linear('head', x, hidden, classes)


def transformer(
    layers: Layers, images: ad.Node, size: tuple[int, int], classes: int, width: int = 64
) -> ad.Node:
    """Return the logits of a transformer encoder that reads an image row by row.

    Parameters
    ----------
    layers : Layers
        Collects the parameters.
    images : ad.Node
        Of shape ``(batch, height, width)``; each row of pixels is a token.
    size : tuple[int, int]
        Height and width of the images, in pixels.
    classes : int
        Number of classes.
    width : int, default 64
        Size of a token inside the model.

    Returns
    -------
    ad.Node
        Of shape ``(batch, classes)``.

    Notes
    -----
    One layer, one head: projection of the tokens plus a learned position embedding; attention,
    residual, layer norm; a rectified feed-forward of twice the width, residual, layer norm; the
    mean over the tokens; a linear head.
    """
    tokens, pixels = size
    x = layers.linear('tokens', images, pixels, width)
    x = x + layers.positions('positions', tokens, width)
    x = layers.layer_norm('norm1', x + layers.attention('attention', x, width), width)
    inner = ad.relu(layers.linear('feed1', x, width, 2 * width))
    x = layers.layer_norm('norm2', x + layers.linear('feed2', inner, 2 * width, width), width)
    return layers.linear('head', ad.mean(x, dim=1), width, classes)


MODELS: Mapping[str, Callable[[Layers, ad.Node, tuple[int, int], int], ad.Node]] = {
    'logistic': logistic,
    'mlp': mlp,
    'transformer': transformer,
}
"""The models by name."""


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    # Drawn in float64 and rounded, so that every dtype starts at the same point.
    return (torch.rand(shape, dtype=torch.float64, generator=generator) * 2 - 1) * bound


def _normal(shape: tuple[int, ...], deviation: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator) * deviation
