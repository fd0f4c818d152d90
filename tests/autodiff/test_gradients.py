"""Reverse and forward mode over graphs; each rule has its own battery under tests/ops."""

import pytest
import torch

import adjoint as ad


def run(nodes: list[ad.Node], values: dict[ad.Node, torch.Tensor]) -> list[torch.Tensor]:
    return ad.Evaluator(nodes).run(values)


def test_orders_of_derivative_of_one_function() -> None:
    x = ad.Variable('x')
    node = ad.exp(2 * x)
    value = torch.tensor(0.3, dtype=torch.float64)
    for order in range(1, 6):
        (node,) = ad.gradients(node, [x])
        (got,) = run([node], {x: value})
        assert abs(got - 2**order * torch.exp(2 * value)) < 1e-12 * 2**order


def test_a_gradient_is_by_any_node_and_by_the_output_itself() -> None:
    x = ad.Variable('x')
    inner = ad.sin(x)
    y = inner * inner
    by_x, by_inner, by_y = ad.gradients(y, nodes=[x, inner, y])
    value = torch.tensor([0.5, 1.0], dtype=torch.float64)
    got = run([by_x, by_inner, by_y], {x: value})
    expected = 2 * value.sin() * value.cos(), 2 * value.sin(), torch.ones_like(value)
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-14, atol=0)


def test_an_unconnected_node_gets_zeros_of_its_shape_and_dtype() -> None:
    x, other = ad.Variable('x'), ad.Variable('other')
    (g,) = ad.gradients(x * 2, [other])
    (got,) = run([g], {x: torch.ones(3), other: torch.ones(2, 4, dtype=torch.float16)})
    assert torch.equal(got, torch.zeros(2, 4, dtype=torch.float16))
    (stepped,) = ad.gradients(ad.floor(x) * 2, [x])
    assert torch.equal(run([stepped], {x: torch.ones(3)})[0], torch.zeros(3))


def test_a_weight_used_on_a_batch_gets_its_own_shape() -> None:
    x, w, b = (ad.Variable(n) for n in 'xwb')
    y = ad.relu(x @ w + b)
    values = {x: torch.randn(7, 5, 3), w: torch.randn(3, 2), b: torch.randn(2)}
    for node, g in zip((x, w, b), run(ad.gradients(y, [x, w, b]), values), strict=True):
        assert g.shape == values[node].shape


def test_gradients_have_the_dtype_of_their_operands() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    values = {x: torch.ones(3, dtype=torch.float32), y: torch.ones(2, 3, dtype=torch.float64)}
    gx, gy = run(ad.gradients(ad.sum(x * y), [x, y]), values)
    assert (gx.dtype, gx.shape) == (torch.float32, (3,))
    assert (gy.dtype, gy.shape) == (torch.float64, (2, 3))


def test_an_untyped_variable_that_is_fed_integers_gets_zeros_of_its_dtype() -> None:
    x = ad.Variable('x')
    (got,) = run(ad.gradients(ad.sin(x), [x]), {x: torch.tensor([1, 2])})
    assert torch.equal(got, torch.zeros(2, dtype=torch.int64))


def test_a_real_operand_of_a_complex_value_gets_a_real_gradient() -> None:
    x, z = ad.Variable('x'), ad.Variable('z')
    a, b = torch.randn(3, dtype=torch.float64), torch.randn(3, dtype=torch.complex128)
    loss = ad.sum(ad.square(ad.abs(x * z)))
    got = run(ad.gradients(loss, [x, z]), {x: a, z: b})
    p, q = a.clone().requires_grad_(), b.clone().requires_grad_()
    expected = torch.autograd.grad((p * q).abs().square().sum(), (p, q))
    for g, e in zip(got, expected, strict=True):
        assert g.dtype == e.dtype
        assert torch.allclose(g, e, rtol=1e-13)


@pytest.mark.parametrize(
    ('action', 'kind', 'message'),
    [
        (lambda x: ad.gradients(x, x), ad.TensorTypeError, r'write gradients\(y, \[x\]\)'),
        (lambda x: ad.gradients(x, ['x']), ad.TensorTypeError, "by is 'x' of type str"),
        (lambda x: ad.gradients(3.0, [x]), ad.TensorTypeError, 'the output is 3.0 of type float'),
        (
            lambda x: ad.gradients(ad.argmax(ad.Variable('t', shape=(3,), dtype=torch.float32)), [x]),
            ad.NonDifferentiableError,
            r'is int64\[\], and only floating and complex values have derivatives',
        ),
    ],
)
def test_misuse_is_explained(action: object, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        action(ad.Variable('x'))


class Sum2(ad.Op):
    """A sum whose rule a test may spoil."""

    def __init__(self, rule: object = None) -> None:
        self.rule = rule

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return a + b

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        return self.rule(node, output_grad)


@pytest.mark.parametrize(
    ('rule', 'message'),
    [
        (lambda n, g: [g], 'it returned 1 for 2 inputs'),
        (lambda n, g: [g, g, g], 'it returned 3 for 2 inputs'),
        (lambda n, g: g, 'for 2 inputs'),
        (lambda n, g: [g, 1.0], 'the cotangent of input 1 is 1.0, and must be a node or None'),
    ],
)
def test_a_rule_that_returns_something_else_is_named_with_its_place(rule: object, message: str) -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    total = Sum2(rule)(x, y)
    with pytest.raises(ad.RuleError, match=message) as caught:
        ad.gradients(total, [x, y])
    text = str(caught.value)
    assert 'Sum2.gradient (' in text
    assert 'total = Sum2(rule)(x, y)' in text
    assert isinstance(caught.value, AssertionError)


@pytest.mark.parametrize('typed', [False, True])
def test_a_cotangent_of_the_wrong_shape_is_caught(typed: bool) -> None:
    x = ad.Variable('x', shape=(2, 3) if typed else None)
    y = ad.Variable('y', shape=(3,) if typed else None)
    total = Sum2(lambda n, g: [g, g])(x, y)
    with pytest.raises(ad.RuleError, match=r'the cotangent of input 1 (is|has shape).*sum_to_like'):
        run(ad.gradients(total, [x, y]), {x: torch.ones(2, 3), y: torch.ones(3)})


def test_none_means_that_nothing_flows() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    total = Sum2(lambda n, g: [g, None])(x, y)
    gx, gy = run(ad.gradients(total, [x, y]), {x: torch.ones(2), y: torch.ones(2)})
    assert gx.tolist() == [1, 1]
    assert gy.tolist() == [0, 0]


class NoRule(ad.Op):
    """An op without a derivative."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return input_values[0] * 2


def test_an_op_without_a_rule_says_so() -> None:
    x = ad.Variable('x')
    with pytest.raises(ad.NonDifferentiableError, match='NoRule states no derivative: write its gradient'):
        ad.gradients(NoRule()(x), [x])
    # Where no gradient is asked through it, none is missed.
    (g,) = ad.gradients(NoRule()(x) * ad.Variable('y'), [x * 1])
    assert g.op is ad.zeros_like


def test_forward_mode_agrees_with_reverse_mode() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    t, u = ad.Variable('t'), ad.Variable('u')
    y = ad.softmax(ad.tanh(x @ w)) * ad.sum(x, 0, keepdim=True)[:, :2]
    ct = ad.Variable('ct')
    tangent = ad.pushforward(y, {x: t, w: u})
    gx, gw = ad.gradients(ad.sum(y * ct), [x, w])
    values = {
        n: torch.randn(s, dtype=torch.float64)
        for n, s in ((x, (4, 3)), (w, (3, 2)), (t, (4, 3)), (u, (3, 2)), (ct, (4, 2)))
    }
    j, a, b = run([tangent, gx, gw], values)
    left = (j * values[ct]).sum()
    right = (a * values[t]).sum() + (b * values[u]).sum()
    assert abs(left - right) < 1e-12


def test_forward_mode_says_where_nothing_flows() -> None:
    x, t = ad.Variable('x'), ad.Variable('t')
    assert ad.pushforward(ad.floor(x), {x: t}) is None
    assert ad.pushforward([x * 2, ad.Variable('y')], {x: t})[1] is None


class Cube(ad.Op):
    """Only the two methods that an op must have."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return input_values[0] ** 3

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        (x,) = node.inputs
        return [output_grad * 3 * x**2]


def test_an_op_of_two_methods_has_types_forward_mode_and_higher_orders() -> None:
    x = ad.Variable('x', shape=('n',), dtype=torch.float64)
    y = Cube()(x)
    assert y.type == x.type
    t = ad.ones_like(x)
    first, second = ad.pushforward(y, {x: t}), ad.gradients(ad.gradients(y, [x])[0], [x])[0]
    value = torch.tensor([2.0, 3.0], dtype=torch.float64)
    got = run([first, second, ad.pushforward(second, {x: t})], {x: value})
    for g, e in zip(got, (3 * value**2, 6 * value, torch.full_like(value, 6)), strict=True):
        assert torch.allclose(g, e, rtol=1e-14)


class Through(ad.Op):
    """An op whose rule hands the cotangent on as it is."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return input_values[0] - input_values[1]

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        return [output_grad, -output_grad]


@pytest.mark.parametrize('typed', [False, True])
def test_forward_mode_of_a_rule_that_hands_the_cotangent_on(typed: bool) -> None:
    x = ad.Variable('x', shape=(2,) if typed else None)
    y = ad.Variable('y', shape=(2,) if typed else None)
    t = ad.Variable('t')
    value, tangent = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -3.0])
    pushed = ad.pushforward(Through()(x, y), {x: t, y: 2 * t})
    assert pushed is not None
    (got,) = run([pushed], {x: value, y: value, t: tangent})
    assert torch.equal(got, -tangent)
