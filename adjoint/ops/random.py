"""Random values, drawn from a seed: the same node has the same value wherever it is computed.

No derivative flows through a draw. Two nodes with different seeds differ.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import Size, TensorType
from adjoint.ops.creation import Creation

__all__ = [
    'Draw', 'DrawnBernoulli', 'DrawnBinomial', 'DrawnCauchy', 'DrawnExponential', 'DrawnGeometric',
    'DrawnIntegers', 'DrawnLogNormal', 'DrawnMultinomial', 'DrawnNormal', 'DrawnPermutation',
    'DrawnPoisson', 'DrawnUniform', 'DropoutMask', 'Filled', 'RreluNoise', 'drawn_bernoulli',
    'drawn_binomial', 'drawn_cauchy', 'drawn_exponential', 'drawn_geometric', 'drawn_integers',
    'drawn_log_normal', 'drawn_multinomial', 'drawn_normal', 'drawn_permutation', 'drawn_poisson',
    'drawn_uniform', 'dropout_mask', 'rrelu_noise',
]  # fmt: skip


def _generator(node: Node, device: torch.device | str | None) -> torch.Generator:
    generator = torch.Generator(device='cpu' if device is None else device)
    generator.manual_seed(node.attrs['seed'])
    return generator


def _known(sizes: Sequence[Any], dtype: torch.dtype, device: torch.device | str | None) -> TensorType:
    # A size by arithmetic of names is no name.
    shape: list[Size] = [s if isinstance(s, int) or s.isidentifier() else None for s in sizes]
    return TensorType(tuple(shape), dtype, None if device is None else torch.device(device))


class Draw(Creation):
    """Kind of the ops whose value is random: two that look alike are never taken for one."""

    shareable = False


class Filled(Draw):
    """Base of the ops whose entries are drawn alike: in the shape of an operand, or of a size.

    Calls take an operand or a sequence of sizes first, then the parameters of the distribution.
    """

    # The parameters of the distribution, as the fill of torch takes them.
    defaults: ClassVar[tuple[float | None, ...]] = ()

    def __call__(
        self,
        like: Operand | Sequence[Any],
        *parameters: float | None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        like : Node, torch.Tensor or sequence of int
            What gives shape, dtype and device; or the sizes.
        *parameters : number
            Of the distribution.
        dtype : torch.dtype, optional
            By default that of the operand, or torch's default.
        device : torch.device or str, optional
            By default that of the operand, or the CPU.
        seed : int
            Of the generator.
        """
        given = (*parameters, *self.defaults[len(parameters) :])
        attrs: dict[str, Any] = {'parameters': given, 'dtype': dtype, 'seed': seed}
        if isinstance(like, Sequence):
            attrs |= {'size': tuple(like), 'device': device}
            return Node([], self, attrs)
        return Node([as_node(like, self.name)], self, attrs)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        """Return the blank, filled."""
        raise NotImplementedError

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        dtype = node.attrs['dtype']
        if input_values:
            blank = torch.empty_like(
                input_values[0], dtype=dtype, memory_format=torch.contiguous_format, requires_grad=False
            )
        else:
            blank = torch.empty(node.attrs['size'], dtype=dtype, device=node.attrs['device'])
        return self.fill(blank, _generator(node, blank.device), *node.attrs['parameters'])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        dtype = node.attrs['dtype']
        if input_types:
            (like,) = input_types
            return TensorType(like.shape, dtype or like.dtype, like.device)
        return _known(node.attrs['size'], dtype or torch.get_default_dtype(), node.attrs['device'])


class DrawnUniform(Filled):
    """Uniform between two bounds, 0 and 1 by default, the upper one excluded."""

    defaults = (0.0, 1.0)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        return blank.uniform_(*parameters, generator=generator)


class DrawnNormal(Filled):
    """Normal with a mean and a standard deviation, 0 and 1 by default."""

    defaults = (0.0, 1.0)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        return blank.normal_(*parameters, generator=generator)


class DrawnLogNormal(Filled):
    """The exponential of a normal with a mean and a standard deviation, 1 and 2 by default."""

    defaults = (1.0, 2.0)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        return blank.log_normal_(*parameters, generator=generator)


class DrawnExponential(Filled):
    """Exponential with a rate, 1 by default."""

    defaults = (1.0,)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        return blank.exponential_(*parameters, generator=generator)


class DrawnCauchy(Filled):
    """Cauchy with a median and a scale, 0 and 1 by default."""

    defaults = (0.0, 1.0)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        return blank.cauchy_(*parameters, generator=generator)


class DrawnGeometric(Filled):
    """The number of the first success of trials with a probability, 1/2 by default."""

    defaults = (0.5,)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        return blank.geometric_(*parameters, generator=generator)


class DrawnIntegers(Filled):
    """Integers from the first bound to below the second; without a second, all that the dtype holds."""

    defaults = (0, None)

    def fill(self, blank: torch.Tensor, generator: torch.Generator, *parameters: Any) -> torch.Tensor:
        low, high = parameters
        if high is None and low == 0:
            return blank.random_(generator=generator)
        return blank.random_(low, high, generator=generator)


class RreluNoise(Filled):
    """1 where the operand is positive, elsewhere uniform between two bounds: the slopes of ``rrelu``."""

    name = 'rrelu_noise'
    defaults = (0.125, 1 / 3)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        noise = torch.empty_like(a).uniform_(*node.attrs['parameters'], generator=_generator(node, a.device))
        return torch.where(a > 0, torch.ones_like(a), noise)


class DropoutMask(Draw):
    """0 with probability ``p`` and ``1 / (1 - p)`` elsewhere, in the shape and dtype of an operand.

    With ``by_feature`` one number for each entry of the first two axes, with sizes 1 behind them.
    """

    name = 'dropout_mask'

    def __call__(self, like: Operand, p: float = 0.5, by_feature: bool = False, seed: int = 0) -> Node:
        """Build the node."""
        attrs = {'p': p, 'by_feature': by_feature, 'seed': seed}
        return Node([as_node(like, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        p: float = node.attrs['p']
        shape = (*a.shape[:2], *(1 for _ in a.shape[2:])) if node.attrs['by_feature'] else a.shape
        kept = torch.empty(shape, dtype=torch.float32, device=a.device)
        kept.bernoulli_(1 - p, generator=_generator(node, a.device))
        return kept.to(a.dtype) / (1 - p) if p < 1 else torch.zeros_like(kept, dtype=a.dtype)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        if a.shape is None or not node.attrs['by_feature']:
            return a
        return TensorType((*a.shape[:2], *(1 for _ in a.shape[2:])), a.dtype, a.device)


class DrawnBernoulli(Draw):
    """1 with the probabilities that the operand holds, else 0, in its dtype."""

    def __call__(self, p: Operand, seed: int = 0) -> Node:
        return Node([as_node(p, self.name)], self, {'seed': seed})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (p,) = input_values
        return torch.bernoulli(p, generator=_generator(node, p.device))

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]


class DrawnPoisson(DrawnBernoulli):
    """Poisson numbers with the rates that the operand holds, in its dtype."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (rates,) = input_values
        return torch.poisson(rates, generator=_generator(node, rates.device))


class DrawnBinomial(Draw):
    """The successes of ``count`` trials with the probabilities ``p``; the two broadcast."""

    def __call__(self, count: Operand, p: Operand, seed: int = 0) -> Node:
        return Node([as_node(count, self.name), as_node(p, self.name)], self, {'seed': seed})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        count, p = input_values
        if p.device.type == 'meta':
            return count + p
        return torch.binomial(count, p, generator=_generator(node, p.device))


class DrawnMultinomial(Draw):
    """Positions drawn with the weights in each row, int64."""

    def __call__(self, weights: Operand, num_samples: int, replacement: bool = False, seed: int = 0) -> Node:
        attrs = {'num_samples': num_samples, 'replacement': replacement, 'seed': seed}
        return Node([as_node(weights, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (weights,) = input_values
        count, replacement = node.attrs['num_samples'], node.attrs['replacement']
        if weights.device.type == 'meta':
            return torch.multinomial(weights, count, replacement)
        return torch.multinomial(weights, count, replacement, generator=_generator(node, weights.device))


class DrawnPermutation(Draw):
    """The integers below ``n`` in random order."""

    def __call__(
        self,
        n: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
    ) -> Node:
        """Build the node; int64 by default, on the CPU."""
        attrs = {'n': n, 'dtype': dtype or torch.int64, 'device': device, 'seed': seed}
        return Node([], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        dtype, device = node.attrs['dtype'], node.attrs['device']
        generator = _generator(node, device)
        return torch.randperm(node.attrs['n'], dtype=dtype, device=device, generator=generator)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return _known((node.attrs['n'],), node.attrs['dtype'], node.attrs['device'])


drawn_uniform = DrawnUniform()
drawn_normal = DrawnNormal()
drawn_log_normal = DrawnLogNormal()
drawn_exponential = DrawnExponential()
drawn_cauchy = DrawnCauchy()
drawn_geometric = DrawnGeometric()
drawn_integers = DrawnIntegers()
rrelu_noise = RreluNoise()
dropout_mask = DropoutMask()
drawn_bernoulli = DrawnBernoulli()
drawn_poisson = DrawnPoisson()
drawn_binomial = DrawnBinomial()
drawn_multinomial = DrawnMultinomial()
drawn_permutation = DrawnPermutation()
