"""One step of training as one program: loss, gradients and update."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

import torch
from torch import Tensor

from adjoint.autodiff.gradients import gradients
from adjoint.core.node import Node
from adjoint.execute.cudagraph import CudaGraph
from adjoint.execute.evaluator import Evaluator
from adjoint.execute.executor import Executor
from adjoint.ops.creation import Variable
from adjoint.passes.pipeline import Level

__all__ = ['Clip', 'Descent', 'RuleState', 'StepResult', 'TrainStep', 'UpdateRule', 'train_step']

Clip: TypeAlias = Callable[[Sequence[Node]], Sequence[Node]]


class UpdateRule(Protocol):
    """How a parameter moves against its gradient; those of ``adjoint.train.rules`` are such rules."""

    def init(self, parameter: Tensor) -> Mapping[str, Tensor]:
        """Return what is remembered of a parameter before the first step, by name."""
        ...

    def update(
        self, parameter: Node, gradient: Node, state: Mapping[str, Node], rate: Node, step: Node
    ) -> tuple[Node, Mapping[str, Node]]:
        """Build the graph of the new parameter, and of what is remembered after it."""
        ...


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
    rule : UpdateRule
        The update rule.
    parameters : Mapping[str, Node]
        The inputs that are learned, by name.
    slots : Mapping[str, Mapping[str, Node]]
        The inputs that hold what the rule remembers.
    rate, step : Node
        The inputs that hold the learning rate and the number of the update.
    outputs : int
        Number of outputs beside the loss.
    evaluator : Evaluator
        Gives the loss, the outputs, the new parameters, and what the rule remembers.
    is_recorded : bool
        Whether a number on the CPU would become part of a recording (``executor='cudagraph'``).
    """

    rule: UpdateRule
    parameters: Mapping[str, Node]
    slots: Mapping[str, Mapping[str, Node]]
    rate: Node
    step: Node
    outputs: int
    evaluator: Evaluator
    is_recorded: bool = False

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
        batch: Mapping[Node, Tensor],
        parameters: Mapping[str, Tensor],
        state: RuleState,
        rate: float,
    ) -> StepResult:
        """Make one step.

        Parameters
        ----------
        batch : Mapping[Node, Tensor]
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
        values = iter(self.evaluator.run(self.feed(batch, parameters, state, rate)))
        loss = next(values)
        outputs = [next(values) for _ in range(self.outputs)]
        # Kernels may take another path on memory in another order, and so round otherwise. What is
        # kept is laid out as a checkpoint would give it back, so that a resumed run takes the same.
        new = {name: next(values).contiguous() for name in self.parameters}
        slots = {
            name: {slot: next(values).contiguous() for slot in slots} for name, slots in self.slots.items()
        }
        return StepResult(loss, outputs, new, RuleState(state.step + 1, slots))

    def start(self, parameters: Mapping[str, Tensor]) -> 'Descent':
        """Return a training that writes each step over these tensors.

        Parameters
        ----------
        parameters : Mapping[str, Tensor]
            By name.
        """
        return Descent(self, parameters)

    def feed(
        self,
        batch: Mapping[Node, Tensor],
        parameters: Mapping[str, Tensor],
        state: RuleState,
        rate: float,
    ) -> dict[Node, Tensor]:
        """Return the values of all inputs of the program, for one step.

        Parameters
        ----------
        batch, parameters, state, rate
            As for `run`. The rate and the number of the step are on the CPU, or where the parameters are if
            the program is recorded.

        Returns
        -------
        dict[Node, Tensor]
            For ``evaluator``.
        """
        first = next(iter(parameters.values()), None)
        device = first.device if self.is_recorded and first is not None else None
        feed = {
            **batch,
            self.rate: torch.tensor(rate, dtype=torch.float64, device=device),
            self.step: torch.tensor(state.step + 1, dtype=torch.float64, device=device),
        }
        for name, node in self.parameters.items():
            feed[node] = parameters[name]
            for slot, slot_node in self.slots[name].items():
                feed[slot_node] = state.slots[name][slot]
        return feed


@final
class Descent:
    """A training whose parameters are written over; made by ``TrainStep.start``.

    Parameters
    ----------
    step : TrainStep
        Loss, gradients and update.
    parameters : Mapping[str, Tensor]
        By name; tensors of a module too, which then learns.
    state : RuleState, optional
        To go on from; by default that before the first step. Its tensors are written over too.

    Attributes
    ----------
    parameters : Mapping[str, Tensor]
        Those that were given, as they are now.
    state : RuleState
        What the rule remembers.
    """

    def __init__(
        self, step: TrainStep, parameters: Mapping[str, Tensor], state: RuleState | None = None
    ) -> None:
        self.parameters = {name: parameters[name] for name in step.parameters}
        self.state = step.init(self.parameters) if state is None else state
        self._step = step
        self._written = [
            *self.parameters.values(),
            *(self.state.slots[name][slot] for name, slots in step.slots.items() for slot in slots),
        ]

    def descend(self, batch: Mapping[Node, Tensor], rate: float) -> tuple[Tensor, list[Tensor]]:
        """Make one step: write the new parameters over the old.

        Parameters
        ----------
        batch : Mapping[Node, Tensor]
            Values of the inputs that are not learned.
        rate : float
            The learning rate.

        Returns
        -------
        loss : Tensor
            Before the update, 0-d.
        outputs : list of Tensor
            The other outputs, before the update.
        """
        values = self._step.evaluator.run(self._step.feed(batch, self.parameters, self.state, rate))
        with torch.no_grad():
            # A result may lie in what is written over: an output that is a parameter, a rule that keeps one.
            ours = {x.untyped_storage().data_ptr() for x in self._written}
            values = [x.clone() if x.untyped_storage().data_ptr() in ours else x for x in values]
            count = 1 + self._step.outputs
            for own, value in zip(self._written, values[count:], strict=True):
                own.copy_(value)
        self.state = RuleState(self.state.step + 1, self.state.slots)
        return values[0], values[1:count]


def train_step(
    loss: Node,
    parameters: Mapping[str, Node],
    rule: UpdateRule,
    outputs: Sequence[Node] = (),
    clip: Clip | None = None,
    *,
    executor: str | Executor = 'plan',
    optimize: Level = 'none',
) -> TrainStep:
    """Build one step of training as one program.

    Parameters
    ----------
    loss : Node
        What is minimised, 0-d.
    parameters : Mapping[str, Node]
        The inputs that are learned, by name.
    rule : UpdateRule
        The update rule, such as ``SGD()`` of ``adjoint.train.rules``.
    outputs : Sequence[Node], optional
        What else each step gives, such as the number of right predictions.
    clip : Clip, optional
        Applied to all gradients together, before the rule sees them.
    executor : str or Executor
        How the program runs: see :class:`adjoint.Evaluator`.
    optimize : {'none', 'bitwise', 'default', 'fast'}
        Which rewrites it may apply.

    Returns
    -------
    TrainStep
        Ready to run.

    Examples
    --------
    Values go in, and new ones come out:

    >>> import torch, adjoint as ad
    >>> from adjoint.train.rules import SGD
    >>> w, x = ad.Variable('w', shape=(), dtype=torch.float64), ad.Variable('x')
    >>> step = ad.train_step((w * x - 6) ** 2, {'w': w}, SGD())
    >>> weights = {'w': torch.tensor(1.0, dtype=torch.float64)}
    >>> result = step.run({x: torch.tensor(2.0)}, weights, step.init(weights), rate=0.125)
    >>> float(result.loss), float(result.parameters['w'])
    (16.0, 3.0)

    Or each step is written over the parameters:

    >>> descent = step.start(weights)
    >>> loss, _ = descent.descend({x: torch.tensor(2.0)}, rate=0.125)
    >>> float(loss), float(weights['w'])
    (16.0, 3.0)
    """
    rate = Variable('rate', shape=(), dtype=torch.float64)
    step = Variable('step', shape=(), dtype=torch.float64)
    found: Sequence[Node] = gradients(loss, list(parameters.values()))
    if clip is not None:
        found = list(clip(found))
    slots: dict[str, dict[str, Node]] = {}
    moved: list[Node] = []
    remembered: list[Node] = []
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        slots[name] = _slots(rule, name, parameter)
        new, state = rule.update(parameter, gradient, slots[name], rate, step)
        moved.append(new)
        remembered.extend(state[slot] for slot in slots[name])
    evaluator = Evaluator([loss, *outputs, *moved, *remembered], executor=executor, optimize=optimize)
    is_recorded = executor == 'cudagraph' or isinstance(executor, CudaGraph)
    return TrainStep(rule, dict(parameters), slots, rate, step, len(outputs), evaluator, is_recorded)


def _slots(rule: UpdateRule, name: str, parameter: Node) -> dict[str, Node]:
    # What is remembered has the type of the parameter, whatever is known of that.
    known = parameter.type
    shape, dtype = (None, None) if known is None else (known.shape, known.dtype)
    return {slot: Variable(f'{name}_{slot}', shape=shape, dtype=dtype) for slot in rule.init(torch.empty(0))}
