"""Architectures of `transformers` as data: the class, the inputs, and what makes its configuration tiny.

`tests/tiny_models.py` has the sizes that most configurations share by the names of their fields, and the
inputs; here stands only what an architecture wants otherwise. A key that is a nested configuration takes a
dict; ``training`` is no field but says the mode, which is training where nothing else is said.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ['ARCHITECTURES']

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
# Convolutions over the sound; no masks over time, which are drawn at random.
SOUND: Overrides = {
    'conv_dim': (8, 8), 'conv_stride': (4, 4), 'conv_kernel': (8, 4), 'num_conv_pos_embeddings': 4,
    'num_conv_pos_embedding_groups': 2, 'apply_spec_augment': False, 'mask_time_prob': 0.0,
    'classifier_proj_size': 8, 'training': False, 'position_embeddings_type': 'relative',
    'max_source_positions': 64,
}  # fmt: skip
START: Overrides = {'decoder_start_token_id': 0}
STAGES: Overrides = {'embedding_size': 8, 'hidden_sizes': (8, 16), 'depths': (1, 1)}

CAUSAL: Mapping[str, Overrides] = {
    'AfmoeForCausalLM': EXPERTS,
    'ApertusForCausalLM': {},
    'ArceeForCausalLM': {},
    'BambaForCausalLM': {**STATE, 'attn_layer_indices': [1]},
    'BioGptForCausalLM': {},
    'BitNetForCausalLM': SDPA,
    'BloomForCausalLM': {},
    'CTRLLMHeadModel': {'dff': 32},
    'CodeGenForCausalLM': {'n_head': 4, 'n_embd': 32},
    'CohereForCausalLM': SDPA,
    'Cohere2ForCausalLM': {},
    'CpmAntForCausalLM': {'prompt_types': 4, 'prompt_length': 2, 'segment_types': 4, 'dim_ff': 16, 'dim_head': 8},
    'DeepseekV2ForCausalLM': {**EXPERTS, **LATENT, 'n_group': 1, 'topk_group': 1, 'first_k_dense_replace': 1},
    'DeepseekV3ForCausalLM': {**EXPERTS, **LATENT, 'n_group': 2, 'topk_group': 1, 'first_k_dense_replace': 1},
    'DiffLlamaForCausalLM': {'num_key_value_heads': 2},
    'DogeForCausalLM': {},
    'Ernie4_5ForCausalLM': {},
    'Ernie4_5_MoeForCausalLM': EXPERTS,
    'Exaone4ForCausalLM': {},
    'FalconForCausalLM': SDPA,
    'FalconH1ForCausalLM': {**STATE, 'mamba_d_ssm': 32},
    'FalconMambaForCausalLM': {},
    'FlexOlmoForCausalLM': EXPERTS,
    'GPT2LMHeadModel': {},
    'GPTBigCodeForCausalLM': {},
    'GPTJForCausalLM': {},
    'GPTNeoForCausalLM': {'attention_types': [[['global', 'local'], 1]], 'window_size': 4},
    'GPTNeoXForCausalLM': SDPA,
    'GPTNeoXJapaneseForCausalLM': {},
    'GemmaForCausalLM': {},
    'Gemma2ForCausalLM': {},
    'Gemma3ForCausalLM': SDPA,
    'GlmForCausalLM': {},
    'Glm4ForCausalLM': {},
    'GptOssForCausalLM': EXPERTS,
    'GraniteForCausalLM': {},
    'GraniteMoeForCausalLM': EXPERTS,
    'GraniteMoeHybridForCausalLM': {**EXPERTS, **STATE, 'shared_intermediate_size': 16, 'layer_types': ['mamba', 'attention']},
    'HeliumForCausalLM': {},
    'HunYuanDenseV1ForCausalLM': {},
    'HunYuanMoEV1ForCausalLM': {**EXPERTS, 'moe_topk': 2},
    'JambaForCausalLM': {**EXPERTS, 'attn_layer_period': 2, 'attn_layer_offset': 1, 'mamba_d_state': 4},
    'JetMoeForCausalLM': {'kv_channels': 8},
    'Lfm2ForCausalLM': {'layer_types': ['conv', 'full_attention'], 'block_ff_dim': 32},
    'Llama4ForCausalLM': {'intermediate_size_mlp': 16, 'interleave_moe_layer_step': 1},
    'LlamaForCausalLM': SDPA,
    'MambaForCausalLM': {'state_size': 4},
    'Mamba2ForCausalLM': {'num_heads': 4, 'head_dim': 8, 'state_size': 4, 'n_groups': 1, 'chunk_size': 4},
    'MiniMaxForCausalLM': {**EXPERTS, 'block_size': 4, 'layer_types': ['linear_attention', 'full_attention']},
    'MistralForCausalLM': {},
    'MixtralForCausalLM': EXPERTS,
    'ModernBertDecoderForCausalLM': {},
    'MptForCausalLM': {},
    'NanoChatForCausalLM': {},
    'NemotronForCausalLM': {},
    'OPTForCausalLM': {'word_embed_proj_dim': 8},
    'OlmoForCausalLM': {},
    'Olmo2ForCausalLM': {},
    'OlmoHybridForCausalLM': {**DELTA, 'layer_types': ['linear_attention', 'full_attention']},
    'OlmoeForCausalLM': EXPERTS,
    'OpenAIGPTLMHeadModel': {},
    'PersimmonForCausalLM': {},
    'PhiForCausalLM': {},
    'Phi3ForCausalLM': {},
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
    'ZambaForCausalLM': {
        'num_hidden_layers': 3, 'layer_types': ['mamba', 'hybrid', 'hybrid'], 'attention_head_dim': 16,
        'n_mamba_heads': 2, 'mamba_d_state': 4, 'mamba_dt_rank': 4,
    },
    'Zamba2ForCausalLM': {
        'layer_types': ['mamba', 'hybrid'], 'mamba_d_state': 4, 'n_mamba_heads': 4, 'mamba_headdim': 8,
        'mamba_ngroups': 1, 'chunk_size': 4, 'num_mem_blocks': 1, 'attention_head_dim': 16,
        'hybrid_layer_ids': [1],
    },
    'xLSTMForCausalLM': {'chunk_size': 4},
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
    'FNetForMaskedLM': {},
    'FlaubertWithLMHeadModel': {'n_words': 64, 'emb_dim': 16},
    'FunnelForMaskedLM': {'block_sizes': [1, 1], 'd_model': 16, 'd_head': 8, 'd_inner': 16},
    'IBertForMaskedLM': {},
    'LayoutLMForMaskedLM': {'max_2d_position_embeddings': 32},
    'LongformerForMaskedLM': {},
    'MPNetForMaskedLM': {},
    'MegatronBertForMaskedLM': {},
    'MobileBertForMaskedLM': {'true_hidden_size': 16, 'intra_bottleneck_size': 16, 'embedding_size': 16},
    'ModernBertForMaskedLM': SDPA,
    'NomicBertForMaskedLM': {},
    'NystromformerForMaskedLM': {'conv_kernel_size': 3},
    'RemBertForMaskedLM': {'input_embedding_size': 8, 'output_embedding_size': 8},
    'ReformerForMaskedLM': {
        'is_decoder': False, 'attn_layers': ['local', 'local'], 'axial_pos_embds': False, 'local_attn_chunk_length': 4,
        'attention_head_size': 8, 'feed_forward_size': 16,
    },
    'RoCBertForMaskedLM': {'pronunciation_vocab_size': 32, 'shape_vocab_size': 32, 'shape_embed_dim': 8, 'pronunciation_embed_dim': 8},
    'RoFormerForMaskedLM': {},
    'RobertaForMaskedLM': {},
    'RobertaPreLayerNormForMaskedLM': {},
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
    'LEDForConditionalGeneration': {'max_encoder_position_embeddings': 32, 'max_decoder_position_embeddings': 32},
    'LongT5ForConditionalGeneration': {**START, 'local_radius': 2},
    'M2M100ForConditionalGeneration': {},
    'MBartForConditionalGeneration': SDPA,
    'MT5ForConditionalGeneration': {},
    'MarianMTModel': {'decoder_vocab_size': 64},
    'MvpForConditionalGeneration': {},
    'NllbMoeForConditionalGeneration': {'encoder_sparse_step': 2, 'decoder_sparse_step': 2, 'expert_capacity': 16},
    'PLBartForConditionalGeneration': {},
    'PegasusForConditionalGeneration': SDPA,
    'PegasusXForConditionalGeneration': {'num_global_tokens': 2, 'block_size': 4},
    'ProphetNetForConditionalGeneration': {
        'num_encoder_attention_heads': 2, 'num_decoder_attention_heads': 2, 'num_buckets': 8, 'ngram': 2,
        'disable_ngram_loss': False,
    },
    'SwitchTransformersForConditionalGeneration': {**START, 'expert_capacity': 16, 'num_sparse_encoder_layers': 1, 'num_sparse_decoder_layers': 1},
    'T5ForConditionalGeneration': START,
    'T5GemmaForConditionalGeneration': {},
    'UMT5ForConditionalGeneration': {},
}  # fmt: skip

IMAGE: Mapping[str, Overrides] = {
    'BeitForImageClassification': {'use_relative_position_bias': True},
    'BitForImageClassification': {**STAGES, 'num_groups': 4},
    'ConvNextForImageClassification': {'num_stages': 2, 'hidden_sizes': [8, 16], 'depths': [1, 1]},
    'ConvNextV2ForImageClassification': {'num_stages': 2, 'hidden_sizes': [8, 16], 'depths': [1, 1]},
    'CvtForImageClassification': {
        'embed_dim': [8, 8, 16], 'num_heads': [1, 1, 2], 'depth': [1, 2, 3], 'drop_path_rate': [0.0, 0.0, 0.0],
        'attention_drop_rate': [0.0, 0.0, 0.0], 'drop_rate': [0.0, 0.0, 0.0], 'mlp_ratio': [2.0, 2.0, 2.0],
    },
    'Data2VecVisionForImageClassification': {'use_absolute_position_embeddings': True},
    'DeiTForImageClassification': SDPA,
    'Dinov2ForImageClassification': {'mlp_ratio': 2},
    'Dinov2WithRegistersForImageClassification': {'mlp_ratio': 2, 'num_register_tokens': 2},
    'EfficientNetForImageClassification': {
        'width_coefficient': 0.025, 'depth_coefficient': 0.5, 'hidden_dim': 32, 'depth_divisor': 4,
        'kernel_sizes': [3, 5], 'in_channels': [32, 16], 'out_channels': [16, 16], 'strides': [1, 2],
        'num_block_repeats': [1, 1], 'expand_ratios': [1, 2], 'depthwise_padding': [],
    },
    'FocalNetForImageClassification': {
        'embed_dim': 8, 'hidden_sizes': [8, 16], 'depths': [1, 1], 'focal_levels': [1, 1],
        'focal_windows': [3, 3], 'patch_size': 4,
    },
    'HGNetV2ForImageClassification': {
        'embedding_size': 8, 'hidden_sizes': [8, 16], 'depths': [1, 1], 'stem_channels': [3, 8, 8],
        'stage_in_channels': [8, 8], 'stage_mid_channels': [4, 8], 'stage_out_channels': [8, 16],
        'stage_num_blocks': [1, 1], 'stage_downsample': [False, True], 'stage_light_block': [False, True],
        'stage_kernel_size': [3, 3], 'stage_numb_of_layers': [2, 2], 'stem_strides': [2, 1, 1, 2, 1],
    },
    'HieraForImageClassification': {
        'embed_dim': 8, 'image_size': [32, 32], 'patch_stride': [4, 4], 'patch_size': [7, 7],
        'patch_padding': [3, 3], 'mlp_ratio': 2.0, 'depths': [1, 1], 'num_heads': [1, 2],
        'embed_dim_multiplier': 2.0, 'num_query_pool': 1, 'query_stride': [2, 2], 'masked_unit_size': [4, 4],
        'masked_unit_attention': [True, False],
    },
    'IJepaForImageClassification': {},
    'LevitForImageClassification': {
        'hidden_sizes': [16, 24, 32], 'num_attention_heads': [2, 2, 2], 'depths': [1, 1, 1],
        'key_dim': [4, 4, 4], 'patch_size': 16, 'mlp_ratio': [2, 2, 2], 'attention_ratio': [2, 2, 2],
        'image_size': 64,
    },
    'MobileNetV1ForImageClassification': {'depth_multiplier': 0.1, 'min_depth': 4},
    'MobileNetV2ForImageClassification': {'depth_multiplier': 0.1, 'min_depth': 4, 'depth_divisible_by': 4},
    'MobileViTForImageClassification': {
        'hidden_sizes': [16, 16, 16], 'neck_hidden_sizes': [8, 8, 8, 8, 16, 16, 16], 'num_attention_heads': 2,
        'image_size': 64,
    },
    'MobileViTV2ForImageClassification': {'width_multiplier': 0.125, 'image_size': 64, 'patch_size': 2, 'n_attn_blocks': [1, 1, 1]},
    'PoolFormerForImageClassification': {
        'depths': [1, 1, 1, 1], 'hidden_sizes': [8, 8, 8, 8], 'num_encoder_blocks': 4,
    },
    'PvtForImageClassification': {
        'depths': [1, 1], 'hidden_sizes': [8, 16], 'num_attention_heads': [1, 2], 'sequence_reduction_ratios': [2, 1],
        'mlp_ratios': [2, 2], 'patch_sizes': [4, 2], 'strides': [4, 2], 'num_encoder_blocks': 2,
    },
    'PvtV2ForImageClassification': {
        'depths': [1, 1], 'hidden_sizes': [8, 16], 'num_attention_heads': [1, 2], 'sr_ratios': [2, 1],
        'mlp_ratios': [2, 2], 'patch_sizes': [7, 3], 'strides': [4, 2], 'num_encoder_blocks': 2,
    },
    'RegNetForImageClassification': {**STAGES, 'groups_width': 4},
    'ResNetForImageClassification': STAGES,
    'SegformerForImageClassification': {
        'depths': [1, 1], 'hidden_sizes': [8, 16], 'num_attention_heads': [1, 2], 'sr_ratios': [2, 1],
        'mlp_ratios': [2, 2], 'patch_sizes': [7, 3], 'strides': [4, 2], 'num_encoder_blocks': 2,
        'decoder_hidden_size': 16,
    },
    'SiglipForImageClassification': {},
    'SwiftFormerForImageClassification': {'depths': [1, 1, 1, 1], 'embed_dims': [8, 8, 16, 16], 'mlp_ratio': 2},
    'SwinForImageClassification': {
        'embed_dim': 8, 'depths': [2, 1], 'num_heads': [1, 2], 'patch_size': 2, 'window_size': 4, 'mlp_ratio': 2.0,
    },
    'Swinv2ForImageClassification': {
        'embed_dim': 8, 'depths': [2, 1], 'num_heads': [1, 2], 'patch_size': 2, 'window_size': 4, 'mlp_ratio': 2.0,
    },
    'TextNetForImageClassification': {
        'hidden_sizes': [8, 8, 8], 'conv_layer_kernel_sizes': [[[3, 3]], [[3, 1]]],
        'conv_layer_strides': [[1], [2]], 'stem_out_channels': 8,
    },
    'ViTForImageClassification': {},
    'ViTMSNForImageClassification': SDPA,
}  # fmt: skip

VIDEO: Mapping[str, Overrides] = {
    'TimesformerForVideoClassification': {'num_frames': 2},
    'VideoMAEForVideoClassification': {'num_frames': 2, 'tubelet_size': 2},
    'VivitForVideoClassification': {'num_frames': 2, 'tubelet_size': [2, 8, 8]},
}

# Models of images without a loss of their own, or with one that needs no labels.
PIXELS: Mapping[str, Overrides] = {
    'DPTForDepthEstimation': {
        'num_hidden_layers': 4, 'backbone_out_indices': [0, 1, 2, 3], 'neck_hidden_sizes': [8, 8, 8, 8],
        'fusion_hidden_size': 8,
    },
    'DetrForObjectDetection': {
        'num_queries': 3, 'backbone_config': {
            'model_type': 'resnet', **STAGES, 'depths': [1, 1], 'out_features': ['stage2'],
        },
    },
    'GLPNForDepthEstimation': {
        'hidden_sizes': [8, 8, 16, 16], 'depths': [1, 1, 1, 1], 'num_attention_heads': [1, 1, 2, 2],
        'mlp_ratios': [2, 2, 2, 2], 'decoder_hidden_size': 8,
    },
    'SamVisionModel': {
        'output_channels': 8, 'window_size': 2, 'global_attn_indexes': [1], 'num_pos_feats': 8, 'mlp_dim': 16,
    },
    'SuperPointForKeypointDetection': {
        'encoder_hidden_sizes': [8, 8, 8, 8], 'decoder_hidden_size': 8, 'keypoint_decoder_dim': 65,
        'descriptor_decoder_dim': 8,
    },
    'Swin2SRForImageSuperResolution': {
        'embed_dim': 8, 'depths': [1], 'num_heads': [2], 'window_size': 4, 'patch_size': 1, 'image_size': 8,
        'upsampler': 'pixelshuffledirect',
    },
    'ViTForMaskedImageModeling': {},
    'YolosForObjectDetection': {'num_detection_tokens': 3, 'image_size': [32, 32]},
}  # fmt: skip

AUDIO: Mapping[str, Overrides] = {
    'Data2VecAudioForCTC': SOUND,
    'HubertForCTC': SOUND,
    'SEWForCTC': SOUND,
    'SEWDForCTC': {**SOUND, 'position_buckets': 4, 'max_position_embeddings': 32},
    'UniSpeechForCTC': {**SOUND, 'num_ctc_classes': 64},
    'UniSpeechSatForCTC': {**SOUND, 'num_ctc_classes': 64},
    'Wav2Vec2ForCTC': SOUND,
    'Wav2Vec2ConformerForCTC': {**SOUND, 'conv_depthwise_kernel_size': 3},
    'WavLMForCTC': {**SOUND, 'num_buckets': 8},
}

SPECTRA: Mapping[str, Overrides] = {
    'Speech2TextForConditionalGeneration': {'input_feat_per_channel': 8, 'conv_channels': 16, 'max_target_positions': 16},
    'WhisperForConditionalGeneration': {
        'num_mel_bins': 8, 'max_source_positions': 10, 'max_target_positions': 16, 'begin_suppress_tokens': None,
    },
    'WhisperForAudioClassification': {'num_mel_bins': 8, 'max_source_positions': 10, 'begin_suppress_tokens': None},
    'ASTForAudioClassification': {
        'num_mel_bins': 8, 'max_length': 20, 'patch_size': 4, 'frequency_stride': 4, 'time_stride': 4,
    },
    'Wav2Vec2BertForSequenceClassification': {
        **SOUND, 'feature_projection_input_dim': 8, 'conv_depthwise_kernel_size': 3,
    },
    'MoonshineForConditionalGeneration': {
        'encoder_num_hidden_layers': 1, 'decoder_num_hidden_layers': 1, 'encoder_num_attention_heads': 2,
        'decoder_num_attention_heads': 2,
    },
}  # fmt: skip

PAIR: Mapping[str, Overrides] = {
    'AlignModel': {
        'vision_config': {
            'width_coefficient': 0.025, 'depth_coefficient': 0.5, 'hidden_dim': 16, 'depth_divisor': 4,
            'kernel_sizes': [3, 5], 'in_channels': [32, 16], 'out_channels': [16, 640], 'strides': [1, 2],
            'num_block_repeats': [1, 1], 'expand_ratios': [1, 2], 'depthwise_padding': [],
        },
    },
    'AltCLIPModel': {},
    'BlipForConditionalGeneration': {},
    'BlipModel': {},
    'CLIPModel': {},
    'CLIPSegForImageSegmentation': {'extract_layers': [0, 1], 'reduce_dim': 8, 'decoder_intermediate_size': 16, 'decoder_num_attention_heads': 2},
    'ChineseCLIPModel': {},
    'FlavaModel': {},
    'GroupViTModel': {'training': False, 'vision_config': {'depths': [1, 1, 1], 'num_group_tokens': [4, 2, 0], 'num_output_groups': [4, 2, 2]}},
    'LxmertModel': {'l_layers': 1, 'x_layers': 1, 'r_layers': 1, 'visual_feat_dim': 8},
    'MetaClip2Model': {},
    'OwlViTModel': {},
    'SiglipModel': {},
    'ViltModel': {'max_image_length': 16},
    'VisualBertModel': {'visual_embedding_dim': 8},
    'LlavaForConditionalGeneration': {'image_token_index': 63, 'vision_config': {'model_type': 'clip_vision_model'}, 'text_config': {'model_type': 'llama'}},
    'GitForCausalLM': {},
}

SERIES: Mapping[str, Overrides] = {
    'AutoformerForPrediction': {'prediction_length': 4, 'context_length': 8, 'lags_sequence': [1, 2], 'num_time_features': 2, 'label_length': 4, 'moving_average': 3},
    'DecisionTransformerModel': {'state_dim': 3, 'act_dim': 2, 'max_ep_len': 16},
    'InformerForPrediction': {'prediction_length': 4, 'context_length': 8, 'lags_sequence': [1, 2], 'num_time_features': 2},
    'PatchTSMixerForPrediction': {'context_length': 8, 'patch_length': 4, 'patch_stride': 4, 'prediction_length': 4},
    'PatchTSTForPrediction': {'context_length': 8, 'patch_length': 4, 'patch_stride': 4, 'prediction_length': 4},
    'TimeSeriesTransformerForPrediction': {'prediction_length': 4, 'context_length': 8, 'lags_sequence': [1, 2], 'num_time_features': 2},
    'TimesFmModelForPrediction': {'patch_length': 4, 'context_length': 8, 'horizon_length': 4},
}

ARCHITECTURES: Mapping[str, Mapping[str, Overrides]] = MappingProxyType(
    {'causal': CAUSAL, 'masked': MASKED, 'seq2seq': SEQ2SEQ, 'image': IMAGE, 'video': VIDEO, 'pixels': PIXELS, 'audio': AUDIO, 'spectra': SPECTRA, 'pair': PAIR, 'series': SERIES}
)
