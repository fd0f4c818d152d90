"""ATen: recurrent networks, as cells of our ops, one after the other over the known length of the sequence.

The gates of a cell lie one after the other in its weights: their number times the hidden size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops.activation import relu, sigmoid
from adjoint.ops.contraction import matmul
from adjoint.ops.index import getitem
from adjoint.ops.random import dropout_mask
from adjoint.ops.shape import cat, stack, transpose
from adjoint.ops.trigonometric import tanh

__all__ = ['BUILDERS']

Some = Node | None
State = tuple[Node, ...]
Step = Callable[[Node, State, 'Weights'], State]


@dataclass(frozen=True)
class Weights:
    """Those of one layer in one direction; ``by_input`` may have been applied to all steps at once."""

    by_input: Node
    by_state: Node
    input_bias: Some = None
    state_bias: Some = None
    projection: Some = None


def _map(x: Node, weight: Node, bias: Some) -> Node:
    y = matmul(x, transpose(weight, 0, 1))
    return y if bias is None else y + bias


def _sizes(x: Node) -> tuple[int | str | None, ...]:
    if x.type is None or x.type.shape is None:
        raise NotImplementedError('a recurrent network needs operands of known shape')
    return x.type.shape


def _gates(x: Node, weight: Node, count: int) -> list[Node]:
    """Return the last axis of ``x`` in equal parts, as many as gates, of which ``weight`` has the sizes."""
    total = _sizes(weight)[0]
    if not isinstance(total, int):
        raise NotImplementedError('a recurrent network needs weights of known sizes')
    size = total // count
    return [getitem(x, (..., slice(k * size, (k + 1) * size))) for k in range(count)]


# -- one step: from what the input gives to all gates, the state and the weights to the new state --------


def _lstm(given: Node, state: State, weights: Weights) -> State:
    h, c = state
    total = given + _map(h, weights.by_state, weights.state_bias)
    i, f, g, o = _gates(total, weights.by_state, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if weights.projection is None else _map(h, weights.projection, None)), c


def _gru(given: Node, state: State, weights: Weights) -> State:
    (h,) = state
    by_state = _map(h, weights.by_state, weights.state_bias)
    r, z, n = _gates(given, weights.by_state, 3)
    hr, hz, hn = _gates(by_state, weights.by_state, 3)
    z = sigmoid(z + hz)
    n = tanh(n + sigmoid(r + hr) * hn)
    return ((h - n) * z + n,)


def _rnn(activation: Callable[[Node], Node]) -> Step:
    def step(given: Node, state: State, weights: Weights) -> State:
        (h,) = state
        return (activation(given + _map(h, weights.by_state, weights.state_bias)),)

    return step


# -- over a sequence ------------------------------------------------------------------------------


def _layer(
    sequence: Node, length: int, state: State, weights: Weights, step: Step, *, back: bool
) -> tuple[Node, State]:
    """Run one layer in one direction over a sequence; returns the outputs in order and the last state."""
    # One product for all steps.
    given = _map(sequence, weights.by_input, weights.input_bias)
    found: list[Node] = []
    for k in reversed(range(length)) if back else range(length):
        state = step(getitem(given, k), state, weights)
        found.append(state[0])
    return stack(found[::-1] if back else found), state


def _weights(params: Sequence[Node], has_biases: bool, projected: bool) -> list[Weights]:
    """Return the flat list of parameters by layers and directions."""
    width = 2 + 2 * has_biases + projected
    found: list[Weights] = []
    for start in range(0, len(params), width):
        by_input, by_state, *rest = params[start : start + width]
        input_bias, state_bias = rest[:2] if has_biases else (None, None)
        projection = rest[-1] if projected else None
        found.append(Weights(by_input, by_state, input_bias, state_bias, projection))
    return found


def _run(
    input: Node,
    states: Sequence[State],
    weights: Sequence[Weights],
    step: Step,
    directions: int,
    batch_first: bool,
    dropout: float,
    seed: int,
) -> tuple[Node, list[State]]:
    """Run all layers; the outputs of the last one, and the last state of each layer and direction."""
    swaps = batch_first and len(_sizes(input)) > 2  # noqa: PLR2004 a batch has three axes
    sequence = transpose(input, 0, 1) if swaps else input
    length = _sizes(sequence)[0]
    if not isinstance(length, int):
        raise NotImplementedError('a recurrent network needs a sequence of known length')
    last: list[State] = []
    for first in range(0, len(weights), directions):
        if first and dropout > 0:
            sequence = sequence * dropout_mask(sequence, dropout, seed=seed + first)
        sides: list[Node] = []
        for k in range(first, first + directions):
            side, state = _layer(sequence, length, states[k], weights[k], step, back=k > first)
            sides.append(side)
            last.append(state)
        sequence = sides[0] if directions == 1 else cat(sides, -1)
    return (transpose(sequence, 0, 1) if swaps else sequence), last


def _lstm_input(
    input: Node,
    hx: Sequence[Node],
    params: Sequence[Node],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    seed: int = 0,
) -> tuple[Node, Node, Node]:
    directions = 2 if bidirectional else 1
    count = num_layers * directions
    projected = len(params) // count > 2 + 2 * has_biases
    h, c = hx
    states: list[State] = [(getitem(h, k), getitem(c, k)) for k in range(count)]
    weights = _weights(params, has_biases, projected)
    p = dropout if train else 0.0
    y, last = _run(input, states, weights, _lstm, directions, batch_first, p, seed)
    return y, stack([state[0] for state in last]), stack([state[1] for state in last])


def _of_input(step: Step) -> Callable[..., tuple[Node, Node]]:
    def build(
        input: Node,
        hx: Node,
        params: Sequence[Node],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
        *,
        seed: int = 0,
    ) -> tuple[Node, Node]:
        directions = 2 if bidirectional else 1
        states: list[State] = [(getitem(hx, k),) for k in range(num_layers * directions)]
        weights = _weights(params, has_biases, projected=False)
        p = dropout if train else 0.0
        y, last = _run(input, states, weights, step, directions, batch_first, p, seed)
        return y, stack([state[0] for state in last])

    return build


# -- cells ----------------------------------------------------------------------------------------


def _lstm_cell(
    input: Node, hx: Sequence[Node], w_ih: Node, w_hh: Node, b_ih: Some = None, b_hh: Some = None
) -> State:
    h, c = hx
    return _lstm(_map(input, w_ih, b_ih), (h, c), Weights(w_ih, w_hh, b_ih, b_hh))


def _cell(step: Step) -> Callable[..., Node]:
    def build(input: Node, hx: Node, w_ih: Node, w_hh: Node, b_ih: Some = None, b_hh: Some = None) -> Node:
        return step(_map(input, w_ih, b_ih), (hx,), Weights(w_ih, w_hh, b_ih, b_hh))[0]

    return build


_TANH, _RELU = _rnn(tanh), _rnn(relu)

BUILDERS: Builders = {
    'aten.lstm.input': _lstm_input,
    'aten.gru.input': _of_input(_gru),
    'aten.rnn_tanh.input': _of_input(_TANH),
    'aten.rnn_relu.input': _of_input(_RELU),
    'aten.lstm_cell': _lstm_cell,
    'aten.gru_cell': _cell(_gru),
    'aten.rnn_tanh_cell': _cell(_TANH),
    'aten.rnn_relu_cell': _cell(_RELU),
}
