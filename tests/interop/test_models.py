"""A few quick models of `transformers`, each of another build; all of them run with ``make models``."""

import warnings
from collections.abc import Iterator

import pytest

pytest.importorskip('transformers', reason="needs the extra 'models': pip install 'adjoint[models]'")

from tests.models import check

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
