"""The workloads in JAX, by name; the same arithmetic on arrays that come from the same tensors."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch

from benchmarks.workloads import (
    w01_transformer,
    w02_mlp,
    w04_large_chain,
    w05_convnet,
    w08_gpt,
    w10_skeleton,
)
from benchmarks.workloads.workload import Workload

__all__ = ['LOSSES', 'competitor']

# Imported so, since it may not be there for who checks the types.
jax: Any = import_module('jax')
jnp: Any = import_module('jax.numpy')
# Without these, JAX takes float64 for float32, and on a GPU multiplies float32 with fewer bits than torch.
jax.config.update('jax_enable_x64', True)
jax.config.update('jax_default_matmul_precision', 'highest')


def _normed(x: Any, scale: Any = 1.0, shift: Any = 0.0) -> Any:
    centred = x - jnp.mean(x, -1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred * centred, -1, keepdims=True) + 1e-5) * scale + shift


def _transformer(
    embed: Any,
    query: Any,
    key: Any,
    value: Any,
    mix: Any,
    bias: Any,
    out: Any,
    shift: Any,
    images: Any,
    labels: Any,
) -> Any:
    h = images @ embed
    scores = (h @ query) @ jnp.swapaxes(h @ key, 1, 2)
    weights = jax.nn.softmax(scores / w01_transformer.WIDTH**0.5, -1)
    h = _normed(h + weights @ (h @ value))
    h = jax.nn.relu(h @ mix + bias)
    logits = jnp.mean(h, 1) @ out + shift
    return -jnp.sum(jax.nn.log_softmax(logits, -1) * labels) / w01_transformer.BATCH


def _perceptron(*given: Any) -> Any:
    h, labels = given[-2], given[-1]
    for i in range(0, w02_mlp.COUNT, 2):
        h = h @ given[i] + given[i + 1]
        if i < w02_mlp.COUNT - 2:
            h = jax.nn.relu(h)
    return -jnp.sum(jax.nn.log_softmax(h, -1) * labels) / w02_mlp.BATCH


def _small_chain(x: Any) -> Any:
    y = x
    for _ in range(20):
        y = jnp.tanh(jnp.sin(y) * x)
    return jnp.sum(y)


def _large_chain(x: Any) -> Any:
    y = x
    for _ in range(w04_large_chain.ROUNDS):
        y = jnp.tanh(y * w04_large_chain.SCALE + w04_large_chain.OFFSET)
    return jnp.mean(y)


def _convnet(*given: Any) -> Any:
    first, first_bias, second, second_bias, hidden, hidden_bias, out, shift, images, labels = given

    def stage(x: Any, weight: Any, bias: Any) -> Any:
        x = jax.lax.conv(x, weight, (1, 1), 'VALID') + bias[:, None, None]
        return jax.lax.reduce_window(
            jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), 'VALID'
        )

    h = stage(stage(images, first, first_bias), second, second_bias)
    h = jax.nn.relu(h.reshape(w05_convnet.BATCH, -1) @ hidden + hidden_bias)
    return -jnp.sum(jax.nn.log_softmax(h @ out + shift, -1) * labels) / w05_convnet.BATCH


def _logistic(w: Any, x: Any, y: Any, *_: Any) -> Any:
    return -jnp.mean(jax.nn.log_sigmoid(x @ w * y))


def _unrolled(recurrent: Any, inward: Any, bias: Any, sequence: Any, start: Any) -> Any:
    h = start
    for x in sequence:
        h = jnp.tanh(h @ recurrent + x @ inward + bias)
    return jnp.mean(h * h)


def _scan(recurrent: Any, inward: Any, bias: Any, sequence: Any, start: Any) -> Any:
    def step(h: Any, x: Any) -> tuple[Any, None]:
        return jnp.tanh(h @ recurrent + x @ inward + bias), None

    h, _ = jax.lax.scan(step, start, sequence)
    return jnp.mean(h * h)


def _block(x: Any, layer: Sequence[Any]) -> Any:
    scale, shift, qkv, qkv_bias, mix, mix_bias, scale2, shift2, wide, wide_bias, narrow, narrow_bias = layer
    size = w08_gpt.SMALL
    batch, length, width, heads = size.batch, size.length, size.width, size.heads
    h = _normed(x, scale, shift) @ qkv + qkv_bias
    q, k, v = h.reshape(batch, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    scores = q @ jnp.swapaxes(k, -2, -1) / (width // heads) ** 0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), dtype=bool)), scores, -jnp.inf)
    seen = jnp.swapaxes(jax.nn.softmax(scores, -1) @ v, 1, 2).reshape(batch, length, width)
    x = x + seen @ mix + mix_bias
    return x + jax.nn.gelu(_normed(x, scale2, shift2) @ wide + wide_bias) @ narrow + narrow_bias


def _gpt(*given: Any) -> Any:
    words, places, *rest = given[: w08_gpt.SMALL.count]
    tokens, following = given[-2:]
    x, size = words[tokens] + places, len(w08_gpt.SMALL.layer)
    for i in range(w08_gpt.SMALL.layers):
        x = _block(x, rest[i * size : (i + 1) * size])
    logs = jax.nn.log_softmax(_normed(x, rest[-2], rest[-1]) @ words.T, -1)
    return -jnp.mean(jnp.take_along_axis(logs, following[..., None], -1))


def _layernorm(a: Any, b: Any, weights: Any) -> Any:
    return jnp.sum(_normed(a @ b) * weights)


def _softmax(a: Any, b: Any, weights: Any) -> Any:
    return jnp.sum(jax.nn.softmax(a @ b / 8, -1) * weights)


def _skeleton(theta: Any, rest: Any, back: Any, points: Any, weights: Any, measured: Any) -> Any:
    def rotation(x: Any, y: Any, z: Any) -> Any:
        (sx, cx), (sy, cy), (sz, cz) = ((jnp.sin(a), jnp.cos(a)) for a in (x, y, z))
        return jnp.array([
            [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
            [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
            [-sy, sx * cy, cx * cy],
        ])  # fmt: skip

    absolute: list[Any] = []
    posed: Any = 0.0
    for bone, parent in enumerate(w10_skeleton.PARENTS):
        local = rest[bone]
        finger, joint = divmod(bone - 2, w10_skeleton.JOINTS)
        if bone > 1 and joint < w10_skeleton.JOINTS - 1:
            angles = 6 + w10_skeleton.JOINTS * finger
            sideways = theta[angles + 3] if joint == 0 else 0.0
            local = local @ jnp.eye(4).at[:3, :3].set(rotation(theta[angles + joint], 0.0, sideways))
        absolute.append(local if parent < 0 else absolute[parent] @ local)
        posed = posed + (absolute[bone] @ back[bone] @ points)[:3] * weights[bone]
    turned = rotation(theta[0], theta[1], theta[2]) @ posed
    return (turned + theta[3:6].reshape(3, 1) - measured).reshape(-1)


def _mixture(weights: Any, means: Any, roots: Any, points: Any, *_: Any) -> Any:
    count, d = points.shape
    logs, rest = roots[:, :d], roots[:, d:]
    lower = jnp.zeros((len(means), d, d)).at[:, *jnp.tril_indices(d, -1)].set(rest)
    centred = points[None] - means[:, None]
    scaled = jnp.exp(logs)[:, None] * centred + centred @ jnp.swapaxes(lower, 1, 2)
    inner = (weights + jnp.sum(logs, 1))[:, None] - 0.5 * jnp.sum(scaled * scaled, 2)
    likelihood = jnp.sum(jax.nn.logsumexp(inner, 0)) - count * jax.nn.logsumexp(weights)
    prior = 0.5 * (jnp.sum(jnp.exp(2 * logs)) + jnp.sum(rest * rest))
    return likelihood - 0.5 * count * d * jnp.log(2 * jnp.pi) - prior


LOSSES: dict[str, Callable[..., Any]] = {
    'W1': _transformer, 'W2': _perceptron, 'W3': _small_chain, 'W4': _large_chain, 'W5': _convnet,
    'W6a': _logistic, 'W6b': _logistic, 'W7': _unrolled, 'W7s': _scan, 'W8': _gpt, 'W9a': _layernorm,
    'W9b': _softmax, 'W10': _skeleton, 'W11a': _mixture, 'W11b': _mixture, 'W11c': _mixture,
}  # fmt: skip


def competitor(workload: Workload) -> Callable[..., list[Any]]:
    """Return the computation by ``jax.jit``, from tensors to JAX arrays that are ready."""
    loss = LOSSES[workload.name]
    arrays: dict[int, Any] = {}

    def derived(*given: Any) -> list[Any]:
        if workload.kind == 'gradient':
            value, grads = jax.value_and_grad(loss, argnums=tuple(range(workload.by)))(*given)
            return [value, *workload.finish(given, grads)]
        if workload.kind == 'product':
            gradient = jax.grad(loss)

            def along(x: Any) -> Any:
                return gradient(x, *given[1:])

            return [jax.jvp(along, (given[0],), (given[-1],))[1]]
        return [(jax.hessian if workload.kind == 'hessian' else jax.jacfwd)(loss)(*given)]

    run = jax.jit(derived)

    def called(*given: torch.Tensor) -> list[Any]:
        # The arrays are made once: what is measured is the computation.
        for x in given:
            if id(x) not in arrays:
                arrays[id(x)] = jnp.asarray(x.cpu().numpy())
        return jax.block_until_ready(run(*(arrays[id(x)] for x in given)))

    return called
