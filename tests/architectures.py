"""Architectures of `transformers` as data: the class, and what makes its configuration tiny.

Here those that read text; `tests/architectures_of_signals.py` has images, sound and numbers. The sizes that
most configurations share by the names of their fields, and the inputs, are in `tests/tiny_models.py`. A key
that is a nested configuration takes a dict; ``training`` is no field but says the mode, which is training
where nothing else is said.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ['CAUSAL', 'MASKED', 'SEQ2SEQ', 'Overrides']

Overrides = Mapping[str, Any]

SDPA: Overrides = {'attn_implementation': 'sdpa'}
# The eager loop over the experts that were hit depends on values; this one gathers their weights.
EXPERTS: Overrides = {'experts_implementation': 'batched_mm'}
LATENT: Overrides = {
    'q_lora_rank': 8, 'kv_lora_rank': 8, 'qk_rope_head_dim': 4, 'qk_nope_head_dim': 4, 'v_head_dim': 8,
    'num_key_value_heads': 2, 'head_dim': 4,
}  # fmt: skip
STATE: Overrides = {'mamba_n_heads': 4, 'mamba_d_head': 8, 'mamba_d_state': 4, 'mamba_chunk_size': 4}
DELTA: Overrides = {
    'linear_num_key_heads': 2, 'linear_num_value_heads': 2, 'linear_key_head_dim': 4,
    'linear_value_head_dim': 4,
}  # fmt: skip
START: Overrides = {'decoder_start_token_id': 0}

CAUSAL: Mapping[str, Overrides] = {
    'AfmoeForCausalLM': EXPERTS,
    'ApertusForCausalLM': {},
    'ArceeForCausalLM': {},
    'BambaForCausalLM': {**STATE, 'attn_layer_indices': [1]},
    'BioGptForCausalLM': {},
    'BitNetForCausalLM': SDPA,
    'BloomForCausalLM': {},
    'CodeGenForCausalLM': {'n_head': 4, 'n_embd': 32},
    'Cohere2ForCausalLM': {},
    'CohereForCausalLM': SDPA,
    'CpmAntForCausalLM': {
        'prompt_types': 4, 'prompt_length': 2, 'segment_types': 4, 'dim_ff': 16, 'dim_head': 8,
    },
    'CTRLLMHeadModel': {'dff': 32},
    'DeepseekV2ForCausalLM': {
        **EXPERTS, **LATENT, 'n_group': 1, 'topk_group': 1, 'first_k_dense_replace': 1,
    },
    'DeepseekV3ForCausalLM': {
        **EXPERTS, **LATENT, 'n_group': 2, 'topk_group': 1, 'first_k_dense_replace': 1,
    },
    'DiffLlamaForCausalLM': {'num_key_value_heads': 2},
    'DogeForCausalLM': {},
    'Ernie4_5_MoeForCausalLM': EXPERTS,
    'Ernie4_5ForCausalLM': {},
    'Exaone4ForCausalLM': {},
    'FalconForCausalLM': SDPA,
    'FalconH1ForCausalLM': {**STATE, 'mamba_d_ssm': 32},
    'FalconMambaForCausalLM': {},
    'FlexOlmoForCausalLM': EXPERTS,
    'Gemma2ForCausalLM': {},
    'Gemma3ForCausalLM': SDPA,
    'GemmaForCausalLM': {},
    'Glm4ForCausalLM': {},
    'GlmForCausalLM': {},
    'GPT2LMHeadModel': {},
    'GPTBigCodeForCausalLM': {},
    'GPTJForCausalLM': {},
    'GPTNeoForCausalLM': {'attention_types': [[['global', 'local'], 1]], 'window_size': 4},
    'GPTNeoXForCausalLM': SDPA,
    'GPTNeoXJapaneseForCausalLM': {},
    'GptOssForCausalLM': EXPERTS,
    'GraniteForCausalLM': {},
    'GraniteMoeForCausalLM': EXPERTS,
    'GraniteMoeHybridForCausalLM': {
        **EXPERTS, **STATE, 'shared_intermediate_size': 16, 'layer_types': ['mamba', 'attention'],
    },
    'HeliumForCausalLM': {},
    'HunYuanDenseV1ForCausalLM': {},
    'HunYuanMoEV1ForCausalLM': {**EXPERTS, 'moe_topk': 2},
    'JambaForCausalLM': {**EXPERTS, 'attn_layer_period': 2, 'attn_layer_offset': 1, 'mamba_d_state': 4},
    'JetMoeForCausalLM': {'kv_channels': 8},
    'Lfm2ForCausalLM': {'layer_types': ['conv', 'full_attention'], 'block_ff_dim': 32},
    'Llama4ForCausalLM': {'intermediate_size_mlp': 16, 'interleave_moe_layer_step': 1},
    'LlamaForCausalLM': SDPA,
    'Mamba2ForCausalLM': {'num_heads': 4, 'head_dim': 8, 'state_size': 4, 'n_groups': 1, 'chunk_size': 4},
    'MambaForCausalLM': {'state_size': 4},
    'MiniMaxForCausalLM': {
        **EXPERTS, 'block_size': 4, 'layer_types': ['linear_attention', 'full_attention'],
    },
    'MistralForCausalLM': {},
    'MixtralForCausalLM': EXPERTS,
    'ModernBertDecoderForCausalLM': {},
    'MptForCausalLM': {},
    'NanoChatForCausalLM': {},
    'NemotronForCausalLM': {},
    'Olmo2ForCausalLM': {},
    'OlmoeForCausalLM': EXPERTS,
    'OlmoForCausalLM': {},
    'OlmoHybridForCausalLM': {**DELTA, 'layer_types': ['linear_attention', 'full_attention']},
    'OpenAIGPTLMHeadModel': {},
    'OPTForCausalLM': {'word_embed_proj_dim': 8},
    'PersimmonForCausalLM': {},
    'Phi3ForCausalLM': {},
    'PhiForCausalLM': {},
    'PhimoeForCausalLM': {**EXPERTS, 'training': False},
    'Qwen2ForCausalLM': {},
    'Qwen2MoeForCausalLM': EXPERTS,
    'Qwen3ForCausalLM': SDPA,
    'Qwen3MoeForCausalLM': EXPERTS,
    'Qwen3NextForCausalLM': {**EXPERTS, **DELTA, 'layer_types': ['linear_attention', 'full_attention']},
    'RecurrentGemmaForCausalLM': {'lru_width': 16, 'block_types': ('recurrent', 'attention')},
    'RwkvForCausalLM': {'attention_hidden_size': 16},
    'SeedOssForCausalLM': {},
    'SmolLM3ForCausalLM': {'no_rope_layers': [1, 0]},
    'StableLmForCausalLM': {},
    'Starcoder2ForCausalLM': SDPA,
    'VaultGemmaForCausalLM': {},
    'XGLMForCausalLM': {'attention_heads': 2},
    'XLNetLMHeadModel': {'d_inner': 16},
    'xLSTMForCausalLM': {'chunk_size': 4},
    'Zamba2ForCausalLM': {
        'layer_types': ['mamba', 'hybrid'], 'mamba_d_state': 4, 'n_mamba_heads': 4, 'mamba_headdim': 8,
        'mamba_ngroups': 1, 'chunk_size': 4, 'num_mem_blocks': 1, 'attention_head_dim': 16,
        'hybrid_layer_ids': [1],
    },
    'ZambaForCausalLM': {
        'num_hidden_layers': 3, 'layer_types': ['mamba', 'hybrid', 'hybrid'], 'attention_head_dim': 16,
        'n_mamba_heads': 2, 'mamba_d_state': 4, 'mamba_dt_rank': 4,
    },
}  # fmt: skip

MASKED: Mapping[str, Overrides] = {
    'AlbertForMaskedLM': SDPA,
    'BertForMaskedLM': {},
    'BigBirdForMaskedLM': {'attention_type': 'original_full'},
    'CamembertForMaskedLM': SDPA,
    'ConvBertForMaskedLM': {},
    'Data2VecTextForMaskedLM': {},
    'DebertaForMaskedLM': {'relative_attention': True, 'pos_att_type': ['c2p', 'p2c']},
    'DebertaV2ForMaskedLM': {
        'relative_attention': True, 'pos_att_type': ['c2p', 'p2c'], 'position_buckets': 4,
        'norm_rel_ebd': 'layer_norm',
    },
    'DistilBertForMaskedLM': SDPA,
    'ElectraForMaskedLM': {},
    'ErnieForMaskedLM': {},
    'EsmForMaskedLM': {'mask_token_id': 5, 'position_embedding_type': 'rotary'},
    'EuroBertForMaskedLM': {},
    'FlaubertWithLMHeadModel': {'n_words': 64, 'emb_dim': 16},
    'FNetForMaskedLM': {},
    'FunnelForMaskedLM': {'block_sizes': [1, 1], 'd_model': 16, 'd_head': 8, 'd_inner': 16},
    'IBertForMaskedLM': {},
    'LayoutLMForMaskedLM': {'max_2d_position_embeddings': 32},
    'LongformerForMaskedLM': {},
    'MegatronBertForMaskedLM': {},
    'MobileBertForMaskedLM': {'true_hidden_size': 16, 'intra_bottleneck_size': 16, 'embedding_size': 16},
    'ModernBertForMaskedLM': SDPA,
    'MPNetForMaskedLM': {},
    'NomicBertForMaskedLM': {},
    'NystromformerForMaskedLM': {'conv_kernel_size': 3},
    'ReformerForMaskedLM': {
        'is_decoder': False, 'attn_layers': ['local', 'local'], 'axial_pos_embds': False,
        'local_attn_chunk_length': 4, 'attention_head_size': 8, 'feed_forward_size': 16,
    },
    'RemBertForMaskedLM': {'input_embedding_size': 8, 'output_embedding_size': 8},
    'RobertaForMaskedLM': {},
    'RobertaPreLayerNormForMaskedLM': {},
    'RoCBertForMaskedLM': {
        'pronunciation_vocab_size': 32, 'shape_vocab_size': 32, 'shape_embed_dim': 8,
        'pronunciation_embed_dim': 8,
    },
    'RoFormerForMaskedLM': {},
    'SqueezeBertForMaskedLM': {},
    'TapasForMaskedLM': {'type_vocab_sizes': [3, 8, 8, 2, 8, 8, 4]},
    'XLMRobertaXLForMaskedLM': {},
    'XLMWithLMHeadModel': {'n_words': 64, 'emb_dim': 16},
    'YosoForMaskedLM': {'use_expectation': True},
}  # fmt: skip

SEQ2SEQ: Mapping[str, Overrides] = {
    'BartForConditionalGeneration': {},
    'BigBirdPegasusForConditionalGeneration': {'attention_type': 'original_full'},
    'BlenderbotForConditionalGeneration': SDPA,
    'BlenderbotSmallForConditionalGeneration': {},
    'FSMTForConditionalGeneration': {'src_vocab_size': 64, 'tgt_vocab_size': 64, 'langs': ['en', 'de']},
    'LEDForConditionalGeneration': {
        'max_encoder_position_embeddings': 32, 'max_decoder_position_embeddings': 32,
    },
    'LongT5ForConditionalGeneration': {**START, 'local_radius': 2},
    'M2M100ForConditionalGeneration': {},
    'MarianMTModel': {'decoder_vocab_size': 64},
    'MBartForConditionalGeneration': SDPA,
    'MT5ForConditionalGeneration': {},
    'MvpForConditionalGeneration': {},
    'NllbMoeForConditionalGeneration': {
        'encoder_sparse_step': 2, 'decoder_sparse_step': 2, 'expert_capacity': 16,
    },
    'PegasusForConditionalGeneration': SDPA,
    'PegasusXForConditionalGeneration': {'num_global_tokens': 2, 'block_size': 4},
    'PLBartForConditionalGeneration': {},
    'ProphetNetForConditionalGeneration': {
        'num_encoder_attention_heads': 2, 'num_decoder_attention_heads': 2, 'num_buckets': 8, 'ngram': 2,
        'disable_ngram_loss': False,
    },
    'SwitchTransformersForConditionalGeneration': {
        **START, 'expert_capacity': 16, 'num_sparse_encoder_layers': 1, 'num_sparse_decoder_layers': 1,
    },
    'T5ForConditionalGeneration': START,
    'T5GemmaForConditionalGeneration': {},
    'UMT5ForConditionalGeneration': {},
}  # fmt: skip
