"""Tiny random models of `transformers`: sizes by the names of fields, inputs by kind, one tensor out."""

import dataclasses
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
import transformers  # pyright: ignore[reportMissingImports] the extra `models`
from torch.overrides import TorchFunctionMode

from tests.architectures import CAUSAL, MASKED, SEQ2SEQ, Overrides
from tests.architectures_of_signals import AUDIO, IMAGE, PAIR, PIXELS, SERIES, SPECTRA, VIDEO

__all__ = ['Loss', 'Made', 'doubled', 'kinds', 'made']

# By kind of inputs.
ARCHITECTURES: Mapping[str, Mapping[str, Overrides]] = MappingProxyType(
    {
        'causal': CAUSAL, 'masked': MASKED, 'seq2seq': SEQ2SEQ, 'image': IMAGE, 'video': VIDEO,
        'pixels': PIXELS, 'audio': AUDIO, 'spectra': SPECTRA, 'pair': PAIR, 'series': SERIES,
    }
)  # fmt: skip

# What a field of a configuration is set to, whichever architecture it belongs to. Fields whose names speak
# of dropping are set to zero.
SIZES: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(
            ('hidden_size', 'd_model', 'n_embd', 'dim', 'embedding_size', 'moe_intermediate_size',
             'shared_expert_intermediate_size', 'projection_dim'), 16,
        ),
        **dict.fromkeys(
            ('intermediate_size', 'ffn_dim', 'd_ff', 'n_inner', 'hidden_dim', 'encoder_ffn_dim',
             'decoder_ffn_dim', 'max_position_embeddings', 'n_positions', 'n_ctx', 'image_size'), 32,
        ),
        **dict.fromkeys(
            ('num_hidden_layers', 'n_layer', 'num_layers', 'n_layers', 'encoder_layers', 'decoder_layers',
             'num_decoder_layers', 'num_encoder_layers', 'num_attention_heads', 'n_head', 'n_heads',
             'num_heads', 'encoder_attention_heads', 'decoder_attention_heads', 'num_experts_per_tok',
             'type_vocab_size', 'eos_token_id', 'decoder_start_token_id'), 2,
        ),
        **dict.fromkeys(('num_local_experts', 'num_experts', 'n_routed_experts', 'sliding_window',
                         'attention_window', 'rotary_dim'), 4),
        **dict.fromkeys(('head_dim', 'd_kv', 'patch_size'), 8),
        'vocab_size': 64,
        'num_key_value_heads': 1,
        'num_channels': 3,
        'pad_token_id': 0,
        'bos_token_id': 1,
        'forced_eos_token_id': None,
        'use_cache': False,
        'use_mambapy': False,
        'router_jitter_noise': 0.0,
        'initializer_range': 0.2,
        'init_std': 0.2,
    }
)  # fmt: skip


def configured(kind: Any, overrides: Mapping[str, Any]) -> Any:
    """Return a tiny configuration of a class; nested ones are tiny too."""
    fields = dataclasses.fields(kind)
    values = {f.name: SIZES[f.name] for f in fields if f.name in SIZES}
    values |= {f.name: 0.0 for f in fields if 'drop' in f.name and isinstance(f.default, float)}
    values |= overrides
    for name, nested in kind.sub_configs.items():
        own = dict(overrides.get(name, {}))
        known = transformers.CONFIG_MAPPING[own.pop('model_type')] if 'model_type' in own else nested
        if dataclasses.is_dataclass(known):
            values[name] = configured(known, own).to_dict()
    return kind(**values)


class Double(TorchFunctionMode):
    """Takes single precision for double: models cast to it here and there, which blurs a comparison."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()
        options = {k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()}
        return func(*(torch.float64 if a is torch.float32 else a for a in args), **options)


@contextmanager
def doubled() -> Generator[None]:
    """Compute everything in double precision within the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Double():
            yield
    finally:
        torch.set_default_dtype(before)


class Loss(torch.nn.Module):
    """A model as a function to one number: its loss, or else a number that every entry has a part in."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> torch.Tensor:
        found = self.model(**inputs)
        loss = getattr(found, 'loss', None)
        if loss is not None:
            return loss.sum()
        tensors = [v for v in found.to_tuple() if isinstance(v, torch.Tensor) and v.is_floating_point()]
        return torch.stack([v.sin().mean() for v in tensors]).sum()


def tokens(rows: int = 2, length: int = 8) -> torch.Tensor:
    """Return token numbers, none of which means padding, a beginning or an end."""
    return torch.arange(rows * length).reshape(rows, length) * 7 % 29 + 3


def reals(*shape: int) -> torch.Tensor:
    """Return normal random numbers, the same ones for a shape."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def text() -> dict[str, torch.Tensor]:
    """Return two rows of tokens, the second of which is padded, with a label for each."""
    mask = torch.ones(2, 8, dtype=torch.long)
    mask[1, 6:] = 0
    ids = tokens().where(mask.bool(), torch.zeros(()).long())
    return {'input_ids': ids, 'attention_mask': mask, 'labels': tokens().masked_fill(mask == 0, -100)}


def pixels(config: Any, *frames: int) -> dict[str, torch.Tensor]:
    """Return two images, or two videos, of the size that a configuration speaks of."""
    size = getattr(config, 'image_size', 32)
    height, width = (size, size) if isinstance(size, int) else size
    return {'pixel_values': reals(2, *frames, getattr(config, 'num_channels', 3), height, width)}


def spoken(_: Any) -> dict[str, torch.Tensor]:
    """Return two sounds, with what is said in them."""
    return {'input_values': reals(2, 200), 'labels': torch.tensor([[3, 4], [5, 0]])}


def series(config: Any) -> dict[str, Any]:
    """Return the past and the future of two series, with what is known of their times."""
    past = config.context_length + max(config.lags_sequence)
    future = config.prediction_length
    return {
        'past_values': reals(2, past),
        'past_time_features': reals(2, past, 2),
        'past_observed_mask': torch.ones(2, past),
        'future_values': reals(2, future) + 1,
        'future_time_features': reals(2, future, 2) + 1,
    }


CLASSES = torch.tensor([0, 1])
DECODED = {'labels': tokens(2, 6)}

# By the kind of an architecture, or by its own name.
INPUTS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    'causal': lambda _: text(),
    'masked': lambda _: text(),
    'seq2seq': lambda _: text() | DECODED,
    'FSMTForConditionalGeneration': lambda _: text() | {'labels': tokens()},
    'image': lambda config: {**pixels(config), 'labels': CLASSES},
    'video': lambda config: {**pixels(config, config.num_frames), 'labels': CLASSES},
    'pixels': pixels,
    'audio': lambda _: {'input_values': reals(2, 200), 'labels': CLASSES},
    'Wav2Vec2ForCTC': spoken,
    'WavLMForCTC': spoken,
    'pair': lambda config: {
        'input_ids': tokens(), 'attention_mask': text()['attention_mask'], **pixels(config.vision_config),
    },
    'ViltModel': lambda config: {'input_ids': tokens(), **pixels(config)},
    'FlavaModel': lambda config: {'input_ids': tokens(), **pixels(config.image_config)},
    'BlipForConditionalGeneration': lambda config: {
        'input_ids': tokens(), 'labels': tokens(), **pixels(config.vision_config),
    },
    'GitForCausalLM': lambda config: {**text(), **pixels(config.vision_config)},
    'LlavaForConditionalGeneration': lambda config: {
        'input_ids': torch.cat([torch.full((2, 16), config.image_token_index), tokens()], 1),
        'labels': torch.cat([torch.full((2, 16), -100), tokens()], 1), **pixels(config.vision_config),
    },
    'LxmertModel': lambda _: {
        'input_ids': tokens(), 'visual_feats': reals(2, 3, 8), 'visual_pos': reals(2, 3, 4),
    },
    'VisualBertModel': lambda _: {'input_ids': tokens(), 'visual_embeds': reals(2, 3, 8)},
    'LayoutLMForMaskedLM': lambda _: {**text(), 'bbox': tokens(16, 4).reshape(2, 8, 4).sort().values},
    'Speech2TextForConditionalGeneration': lambda _: {'input_features': reals(2, 20, 8), **DECODED},
    'WhisperForConditionalGeneration': lambda _: {'input_features': reals(2, 8, 20), **DECODED},
    'WhisperForAudioClassification': lambda _: {'input_features': reals(2, 8, 20), 'labels': CLASSES},
    'ASTForAudioClassification': lambda _: {'input_values': reals(2, 20, 8), 'labels': CLASSES},
    'Wav2Vec2BertForSequenceClassification': lambda _: {'input_features': reals(2, 12, 8), 'labels': CLASSES},
    'MoonshineForConditionalGeneration': lambda _: {'input_values': reals(2, 1000), **DECODED},
    'series': series,
    'DecisionTransformerModel': lambda _: {
        'states': reals(2, 4, 3), 'actions': reals(2, 4, 2), 'rewards': reals(2, 4, 1),
        'returns_to_go': reals(2, 4, 1), 'timesteps': torch.arange(8).reshape(2, 4),
        'attention_mask': torch.ones(2, 4),
    },
    'PatchTSTForPrediction': lambda _: {'past_values': reals(2, 8, 1), 'future_values': reals(2, 4, 1)},
    'PatchTSMixerForPrediction': lambda _: {'past_values': reals(2, 8, 1), 'future_values': reals(2, 4, 1)},
    'TimesFmModelForPrediction': lambda _: {
        'past_values': list(reals(2, 8)), 'freq': [0, 1], 'future_values': reals(2, 4),
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Made:
    """A model with its inputs."""

    module: Loss
    inputs: Mapping[str, Any]


def kinds() -> dict[str, str]:
    """Return the kind of inputs of each architecture, by the name of its class."""
    return {name: kind for kind, group in ARCHITECTURES.items() for name in group}


def made(name: str) -> Made:
    """Build the model of an architecture, in double precision, with its inputs."""
    kind = kinds()[name]
    overrides = dict(ARCHITECTURES[kind][name])
    training = overrides.pop('training', True)
    model_class = getattr(transformers, name)
    torch.manual_seed(0)
    with doubled():
        config = configured(model_class.config_class, {'attn_implementation': 'eager', **overrides})
        model = model_class(config).double().train(training)
        return Made(Loss(model), INPUTS[name if name in INPUTS else kind](config))
