"""A few quick models of `transformers`, each of another build; all of them run with ``make models``."""

import warnings
from collections.abc import Iterator

import pytest

pytest.importorskip('transformers', reason="needs the extra 'models': pip install 'adjoint[models]'")

import adjoint as ad
from tests.execute.agreement import POISONED, same
from tests.execute.node_by_node import differing_lines, inner_nodes, of_rewritten
from tests.models import agreement, check, loss_and_gradients
from tests.tiny_models import doubled, made

# Attention with a cache's mask; both ways; an encoder with a decoder; convolutions and statistics of a
# batch; experts that are chosen; a scan over time; sound.
NAMES = [
    'GPT2LMHeadModel',
    'BertForMaskedLM',
    'T5ForConditionalGeneration',
    'ResNetForImageClassification',
    'MixtralForCausalLM',
    'MambaForCausalLM',
    'WhisperForConditionalGeneration',
]


@pytest.fixture(autouse=True)
def _their_warnings_are_theirs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


@pytest.mark.parametrize('name', NAMES)
def test_loss_and_gradients_of_a_model_are_those_of_torch(name: str):
    result = check(name)
    assert result.outcome == 'pass', f'{result.outcome}: {result.note} {result.where}'


@pytest.mark.parametrize('name', NAMES)
def test_every_node_of_a_model_is_what_the_reference_says_rewritten_and_planned(name: str):
    example = made(name)
    with doubled():
        graph = ad.from_torch(example.module, kwargs=example.inputs)
        named, feed = loss_and_gradients(example, graph), graph.feed(**example.inputs)
        nodes = list(named.values())
        count, wrong = differing_lines(nodes, feed, POISONED, 'bitwise')
        assert count > len(nodes)
        assert wrong == []
        inner = inner_nodes(nodes)
        wanted = ad.Evaluator(inner, executor='reference').run(feed)
        for node, a, b in zip(inner, of_rewritten(inner, feed, 'bitwise'), wanted, strict=True):
            assert same(a, b), f'{node}: {a} instead of {b}'
        reference = ad.Evaluator(nodes, executor='reference').run(feed)
        rounded = ad.Evaluator(nodes, POISONED, 'fast').run(feed)
    note = agreement(dict(zip(named, rounded, strict=True)), dict(zip(named, reference, strict=True)))
    assert note == ''
