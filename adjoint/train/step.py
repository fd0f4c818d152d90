"""One step of training as one program: loss, gradients and update."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

import adjoint as ad
from adjoint.train.rules import Rule

Clip: TypeAlias = Callable[[Sequence[ad.Node]], Sequence[ad.Node]]


@final
@dataclass(frozen=True, eq=False)
class RuleState:
    """What an update rule remembers between two steps.

    Parameters
    ----------
    step : int
        Number of updates made.
    slots : Mapping[str, Mapping[str, Tensor]]
        By parameter, then by the rule's own names.
    """

    step: int
    slots: Mapping[str, Mapping[str, Tensor]]


@final
@dataclass(frozen=True, eq=False)
class StepResult:
    """What one step gives.

    Parameters
    ----------
    loss : Tensor
        The loss before the update, 0-d.
    outputs : Sequence[Tensor]
        The other outputs, before the update.
    parameters : Mapping[str, Tensor]
        The parameters after the update.
    state : RuleState
        What the rule remembers after it.
    """

    loss: Tensor
    outputs: Sequence[Tensor]
    parameters: Mapping[str, Tensor]
    state: RuleState


@final
@dataclass(frozen=True, eq=False)
class TrainStep:
    """Loss, gradients and update as one program; made by `train_step`.

    Parameters
    ----------
    rule : Rule
        The update rule.
    parameters : Mapping[str, ad.Node]
        The inputs that are learned, by name.
    slots : Mapping[str, Mapping[str, ad.Node]]
        The inputs that hold what the rule remembers.
    rate, step : ad.Node
        The inputs that hold the learning rate and the number of the update.
    outputs : int
        Number of outputs beside the loss.
    evaluator : ad.Evaluator
        Gives the loss, the outputs, the new parameters, and what the rule remembers.
    """

    rule: Rule
    parameters: Mapping[str, ad.Node]
    slots: Mapping[str, Mapping[str, ad.Node]]
    rate: ad.Node
    step: ad.Node
    outputs: int
    evaluator: ad.Evaluator

    def init(self, parameters: Mapping[str, Tensor]) -> RuleState:
        """Return what the rule remembers before the first step.

        Parameters
        ----------
        parameters : Mapping[str, Tensor]
            The initial parameters.

        Returns
        -------
        RuleState
            At step 0.
        """
        return RuleState(0, {name: self.rule.init(parameters[name]) for name in self.parameters})

    def run(
        self,
        batch: Mapping[ad.Node, Tensor],
        parameters: Mapping[str, Tensor],
        state: RuleState,
        rate: float,
    ) -> StepResult:
        """Make one step.

        Parameters
        ----------
        batch : Mapping[ad.Node, Tensor]
            Values of the inputs that are not learned.
        parameters : Mapping[str, Tensor]
            By name; they stay as they are.
        state : RuleState
            What the rule remembers.
        rate : float
            The learning rate.

        Returns
        -------
        StepResult
            New values; all are contiguous.
        """
        feed = {
            **batch,
            self.rate: torch.tensor(rate, dtype=torch.float64),
            self.step: torch.tensor(state.step + 1, dtype=torch.float64),
        }
        for name, node in self.parameters.items():
            feed[node] = parameters[name]
            for slot, slot_node in self.slots[name].items():
                feed[slot_node] = state.slots[name][slot]
        values = iter(self.evaluator.run(feed))
        loss = next(values)
        outputs = [next(values) for _ in range(self.outputs)]
        # Kernels may take another path on memory in another order, and so round otherwise. What is
        # kept is laid out as a checkpoint would give it back, so that a resumed run takes the same.
        new = {name: next(values).contiguous() for name in self.parameters}
        slots = {
            name: {slot: next(values).contiguous() for slot in slots} for name, slots in self.slots.items()
        }
        return StepResult(loss, outputs, new, RuleState(state.step + 1, slots))


def train_step(
    loss: ad.Node,
    parameters: Mapping[str, ad.Node],
    rule: Rule,
    outputs: Sequence[ad.Node] = (),
    clip: Clip | None = None,
) -> TrainStep:
    """Build one step of training as one program.

    Parameters
    ----------
    loss : ad.Node
        What is minimised, 0-d.
    parameters : Mapping[str, ad.Node]
        The inputs that are learned, by name.
    rule : Rule
        The update rule.
    outputs : Sequence[ad.Node], optional
        What else each step gives, such as the number of right predictions.
    clip : Clip, optional
        Applied to all gradients together, before the rule sees them.

    Returns
    -------
    TrainStep
        Ready to run.

    Examples
    --------
    >>> import adjoint as ad
    >>> from adjoint.train.rules import SGD
    >>> w, x = ad.Variable('w', shape=(), dtype=torch.float64), ad.Variable('x')
    >>> step = train_step((w * x - 6) ** 2, {'w': w}, SGD())
    >>> weights = {'w': torch.tensor(1.0, dtype=torch.float64)}
    >>> result = step.run({x: torch.tensor(2.0)}, weights, step.init(weights), rate=0.125)
    >>> float(result.loss), float(result.parameters['w'])
    (16.0, 3.0)
    """
    rate = ad.Variable('rate', shape=(), dtype=torch.float64)
    step = ad.Variable('step', shape=(), dtype=torch.float64)
    found = ad.gradients(loss, list(parameters.values()))
    if clip is not None:
        found = list(clip(found))
    slots: dict[str, dict[str, ad.Node]] = {}
    moved: list[ad.Node] = []
    remembered: list[ad.Node] = []
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        slots[name] = _slots(rule, name, parameter)
        new, state = rule.update(parameter, gradient, slots[name], rate, step)
        moved.append(new)
        remembered.extend(state[slot] for slot in slots[name])
    evaluator = ad.Evaluator([loss, *outputs, *moved, *remembered])
    return TrainStep(rule, dict(parameters), slots, rate, step, len(outputs), evaluator)


def _slots(rule: Rule, name: str, parameter: ad.Node) -> dict[str, ad.Node]:
    # What is remembered has the type of the parameter, whatever is known of that.
    known = parameter.type
    shape, dtype = (None, None) if known is None else (known.shape, known.dtype)
    return {
        slot: ad.Variable(f'{name}_{slot}', shape=shape, dtype=dtype) for slot in rule.init(torch.empty(0))
    }
