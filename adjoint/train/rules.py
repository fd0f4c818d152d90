"""Update rules: how a parameter moves against its gradient, written as a graph."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

import adjoint as ad
from adjoint.train.errors import SettingError

Slots: TypeAlias = Mapping[str, ad.Node]
Moved: TypeAlias = tuple[ad.Node, dict[str, ad.Node]]


class Rule(ABC):
    """A way to move a parameter, given its gradient.

    Notes
    -----
    The learning rate and the number of the step are inputs of the graph, 0-d tensors of float64, so
    that one graph serves every step. By torch's promotion a 0-d operand does not change the dtype
    of a parameter that has axes.
    """

    @abstractmethod
    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return what the rule remembers of a parameter before the first step.

        Parameters
        ----------
        parameter : Tensor
            Its initial value; only shape, dtype and device matter.

        Returns
        -------
        dict[str, Tensor]
            By name, tensors of the shape and dtype of the parameter.
        """

    @abstractmethod
    def update(
        self, parameter: ad.Node, gradient: ad.Node, state: Slots, rate: ad.Node, step: ad.Node
    ) -> Moved:
        """Build the graph of one update.

        Parameters
        ----------
        parameter, gradient : ad.Node
            Of one shape.
        state : Mapping[str, ad.Node]
            What the rule remembers, by the names of `init`.
        rate : ad.Node
            The learning rate, 0-d, float64.
        step : ad.Node
            The number of the update, 0-d, float64; the first is 1.

        Returns
        -------
        tuple[ad.Node, dict[str, ad.Node]]
            The new parameter and what the rule remembers after it.
        """


@final
@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent, with momentum where asked for.

    Parameters
    ----------
    momentum : float, default 0
        How much of the last movement is kept.
    nesterov : bool, default False
        Whether to look ahead along the movement.
    dampening : float, default 0
        The part of a gradient that does not enter the movement, from the second step on.
    weight_decay : float, default 0
        Added to the gradient times the parameter.

    Raises
    ------
    SettingError
        If `nesterov` is asked for without momentum or with dampening.

    Notes
    -----
    With gradient ``g`` and parameter ``p``: ``g += weight_decay * p``, ``v = momentum * v +
    (1 - dampening) * g``, then ``p -= rate * v``; with Nesterov ``p -= rate * (g + momentum * v)``.
    As ``torch.optim.SGD``.

    References
    ----------
    I. Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise SettingError('nesterov', 'needs a positive momentum and no dampening')

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return a zero movement, or nothing without momentum."""
        return {'velocity': torch.zeros_like(parameter)} if self.momentum else {}

    def update(
        self, parameter: ad.Node, gradient: ad.Node, state: Slots, rate: ad.Node, step: ad.Node
    ) -> Moved:
        """Build the graph of one update."""
        gradient = _decayed(parameter, gradient, self.weight_decay)
        if not self.momentum:
            return _moved(parameter, gradient * rate), {}
        fresh = gradient
        if self.dampening:
            # The first movement is the whole gradient, as in torch.
            fresh = _like(gradient * (1 - self.dampening * ad.minimum(step - 1, 1)), parameter)
        velocity = self.momentum * state['velocity'] + fresh
        movement = gradient + self.momentum * velocity if self.nesterov else velocity
        return _moved(parameter, movement * rate), {'velocity': velocity}


def Momentum(momentum: float = 0.9, weight_decay: float = 0.0) -> SGD:  # noqa: N802  (names a rule)
    """Return gradient descent with momentum.

    Parameters
    ----------
    momentum : float, default 0.9
        How much of the last movement is kept.
    weight_decay : float, default 0
        Added to the gradient times the parameter.

    Returns
    -------
    SGD
        The rule.
    """
    return SGD(momentum=momentum, weight_decay=weight_decay)


def Nesterov(momentum: float = 0.9, weight_decay: float = 0.0) -> SGD:  # noqa: N802  (names a rule)
    """Return gradient descent with momentum that looks ahead.

    Parameters
    ----------
    momentum : float, default 0.9
        How much of the last movement is kept.
    weight_decay : float, default 0
        Added to the gradient times the parameter.

    Returns
    -------
    SGD
        The rule.
    """
    return SGD(momentum=momentum, nesterov=True, weight_decay=weight_decay)


@final
@dataclass(frozen=True)
class AdaGrad(Rule):
    """Gradient descent with a rate an entry, which falls with the squares of its gradients.

    Parameters
    ----------
    rate_decay : float, default 0
        The rate of step ``t`` is divided by ``1 + (t - 1) * rate_decay``.
    weight_decay : float, default 0
        Added to the gradient times the parameter.
    initial : float, default 0
        The sum of squares at the start.
    eps : float, default 1e-10
        Added to the root of the sum.

    Notes
    -----
    ``s += g**2``, ``p -= rate * g / (sqrt(s) + eps)``. As ``torch.optim.Adagrad``.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, Adaptive Subgradient Methods, 2011.
    """

    rate_decay: float = 0.0
    weight_decay: float = 0.0
    initial: float = 0.0
    eps: float = 1e-10

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return the sum of squares at the start."""
        return {'squares': torch.full_like(parameter, self.initial)}

    def update(
        self, parameter: ad.Node, gradient: ad.Node, state: Slots, rate: ad.Node, step: ad.Node
    ) -> Moved:
        """Build the graph of one update."""
        gradient = _decayed(parameter, gradient, self.weight_decay)
        if self.rate_decay:
            rate = rate / (1 + (step - 1) * self.rate_decay)
        squares = state['squares'] + gradient * gradient
        movement = gradient / (ad.sqrt(squares) + self.eps)
        return _moved(parameter, movement * rate), {'squares': squares}


@final
@dataclass(frozen=True)
class RMSProp(Rule):
    """Gradient descent scaled by a running mean of the squares of the gradients.

    Parameters
    ----------
    smoothing : float, default 0.99
        How much of the running means is kept.
    eps : float, default 1e-8
        Added to the root of the mean square.
    weight_decay : float, default 0
        Added to the gradient times the parameter.
    momentum : float, default 0
        How much of the last movement is kept.
    centered : bool, default False
        Whether the squared running mean is taken off the mean square.

    Notes
    -----
    ``s = smoothing * s + (1 - smoothing) * g**2``, ``p -= rate * g / (sqrt(s) + eps)``. As
    ``torch.optim.RMSprop``.

    References
    ----------
    T. Tieleman, G. Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012.
    """

    smoothing: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return zero means and, where used, a zero movement."""
        names = ['squares']
        names += ['mean'] if self.centered else []
        names += ['velocity'] if self.momentum else []
        return {name: torch.zeros_like(parameter) for name in names}

    def update(
        self, parameter: ad.Node, gradient: ad.Node, state: Slots, rate: ad.Node, step: ad.Node
    ) -> Moved:
        """Build the graph of one update."""
        gradient = _decayed(parameter, gradient, self.weight_decay)
        new = {'squares': _mixed(state['squares'], gradient * gradient, self.smoothing)}
        variance = new['squares']
        if self.centered:
            new['mean'] = _mixed(state['mean'], gradient, self.smoothing)
            variance = variance - new['mean'] * new['mean']
        movement = gradient / (ad.sqrt(variance) + self.eps)
        if self.momentum:
            movement = new['velocity'] = self.momentum * state['velocity'] + movement
        return _moved(parameter, movement * rate), new


@dataclass(frozen=True)
class _Moments(Rule):
    """What Adam and AdamW share: two running means and their correction.

    Parameters
    ----------
    beta1, beta2 : float, default 0.9 and 0.999
        How much of the running means of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the root of the mean square.
    weight_decay : float
        Coefficient of the weight decay.
    amsgrad : bool, default False
        Whether to divide by the largest mean square so far.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    @final
    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return zero means."""
        names = ['mean', 'squares', *(['largest'] if self.amsgrad else [])]
        return {name: torch.zeros_like(parameter) for name in names}

    @final
    def _adapted(self, gradient: ad.Node, state: Slots, step: ad.Node) -> Moved:
        new = {
            'mean': _mixed(state['mean'], gradient, self.beta1),
            'squares': _mixed(state['squares'], gradient * gradient, self.beta2),
        }
        squares = new['squares']
        if self.amsgrad:
            squares = new['largest'] = ad.maximum(state['largest'], squares)
        root = ad.sqrt(squares) / ad.sqrt(1 - self.beta2**step)
        return new['mean'] / (root + self.eps) / (1 - self.beta1**step), new


@final
@dataclass(frozen=True)
class Adam(_Moments):
    """Gradient descent along a running mean of the gradient, scaled by that of its square.

    Parameters
    ----------
    beta1, beta2 : float, default 0.9 and 0.999
        How much of the running means of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the root of the mean square.
    weight_decay : float, default 0
        Added to the gradient times the parameter.
    amsgrad : bool, default False
        Whether to divide by the largest mean square so far.

    Notes
    -----
    ``m = beta1 * m + (1 - beta1) * g``, ``v = beta2 * v + (1 - beta2) * g**2``; at step ``t`` both
    are corrected for their start at zero, ``m' = m / (1 - beta1**t)``, ``v' = v / (1 - beta2**t)``, and
    ``p -= rate * m' / (sqrt(v') + eps)``. As ``torch.optim.Adam``.

    References
    ----------
    D. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, 2015.
    """

    def update(
        self, parameter: ad.Node, gradient: ad.Node, state: Slots, rate: ad.Node, step: ad.Node
    ) -> Moved:
        """Build the graph of one update."""
        gradient = _decayed(parameter, gradient, self.weight_decay)
        movement, new = self._adapted(gradient, state, step)
        return _moved(parameter, movement * rate), new


@final
@dataclass(frozen=True)
class AdamW(_Moments):
    """Adam with a weight decay of its own, which the running means do not see.

    Parameters
    ----------
    beta1, beta2 : float, default 0.9 and 0.999
        How much of the running means of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the root of the mean square.
    weight_decay : float, default 0.01
        The parameter is multiplied by ``1 - rate * weight_decay`` first.
    amsgrad : bool, default False
        Whether to divide by the largest mean square so far.

    Notes
    -----
    As ``torch.optim.AdamW``.

    References
    ----------
    I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, 2019.
    """

    weight_decay: float = 0.01

    def update(
        self, parameter: ad.Node, gradient: ad.Node, state: Slots, rate: ad.Node, step: ad.Node
    ) -> Moved:
        """Build the graph of one update."""
        movement, new = self._adapted(gradient, state, step)
        kept = parameter * (1 - rate * self.weight_decay) if self.weight_decay else parameter
        return _like(kept - movement * rate, parameter), new


def _decayed(parameter: ad.Node, gradient: ad.Node, weight_decay: float) -> ad.Node:
    return gradient + weight_decay * parameter if weight_decay else gradient


def _mixed(mean: ad.Node, new: ad.Node, kept: float) -> ad.Node:
    return kept * mean + (1 - kept) * new


def _moved(parameter: ad.Node, movement: ad.Node) -> ad.Node:
    return _like(parameter - movement, parameter)


def _like(value: ad.Node, parameter: ad.Node) -> ad.Node:
    # Only a parameter without axes can be promoted by the rate; for all others this adds no node.
    return ad.sum_to_like(value, parameter)
