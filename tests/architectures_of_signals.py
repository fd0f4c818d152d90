"""Architectures of `transformers` that read images, sound, numbers, or text beside images.

As data, in the form of `tests/architectures.py`.
"""

from collections.abc import Mapping

from tests.architectures import Overrides

__all__ = ['AUDIO', 'IMAGE', 'PAIR', 'PIXELS', 'SERIES', 'SPECTRA', 'VIDEO']

SDPA: Overrides = {'attn_implementation': 'sdpa'}
STAGES: Overrides = {'embedding_size': 8, 'hidden_sizes': (8, 16), 'depths': (1, 1)}
# Convolutions over the sound; no masks over time, which are drawn at random.
SOUND: Overrides = {
    'conv_dim': (8, 8), 'conv_stride': (4, 4), 'conv_kernel': (8, 4), 'num_conv_pos_embeddings': 4,
    'num_conv_pos_embedding_groups': 2, 'apply_spec_augment': False, 'mask_time_prob': 0.0,
    'classifier_proj_size': 8, 'training': False, 'position_embeddings_type': 'relative',
    'max_source_positions': 64,
}  # fmt: skip

IMAGE: Mapping[str, Overrides] = {
    'BeitForImageClassification': {'use_relative_position_bias': True},
    'BitForImageClassification': {**STAGES, 'num_groups': 4},
    'ConvNextForImageClassification': {'num_stages': 2, 'hidden_sizes': [8, 16], 'depths': [1, 1]},
    'ConvNextV2ForImageClassification': {'num_stages': 2, 'hidden_sizes': [8, 16], 'depths': [1, 1]},
    'CvtForImageClassification': {
        'embed_dim': [8, 8, 16], 'num_heads': [1, 1, 2], 'depth': [1, 2, 3],
        'drop_path_rate': [0.0, 0.0, 0.0], 'attention_drop_rate': [0.0, 0.0, 0.0],
        'drop_rate': [0.0, 0.0, 0.0], 'mlp_ratio': [2.0, 2.0, 2.0],
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
        'embed_dim_multiplier': 2.0, 'num_query_pool': 1, 'query_stride': [2, 2],
        'masked_unit_size': [4, 4], 'masked_unit_attention': [True, False],
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
        'hidden_sizes': [16, 16, 16], 'neck_hidden_sizes': [8, 8, 8, 8, 16, 16, 16],
        'num_attention_heads': 2, 'image_size': 64,
    },
    'MobileViTV2ForImageClassification': {
        'width_multiplier': 0.125, 'image_size': 64, 'patch_size': 2, 'n_attn_blocks': [1, 1, 1],
    },
    'PoolFormerForImageClassification': {
        'depths': [1, 1, 1, 1], 'hidden_sizes': [8, 8, 8, 8], 'num_encoder_blocks': 4,
    },
    'PvtForImageClassification': {
        'depths': [1, 1], 'hidden_sizes': [8, 16], 'num_attention_heads': [1, 2],
        'sequence_reduction_ratios': [2, 1], 'mlp_ratios': [2, 2], 'patch_sizes': [4, 2], 'strides': [4, 2],
        'num_encoder_blocks': 2,
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
    'SwiftFormerForImageClassification': {
        'depths': [1, 1, 1, 1], 'embed_dims': [8, 8, 16, 16], 'mlp_ratio': 2,
    },
    'SwinForImageClassification': {
        'embed_dim': 8, 'depths': [2, 1], 'num_heads': [1, 2], 'patch_size': 2, 'window_size': 4,
        'mlp_ratio': 2.0,
    },
    'Swinv2ForImageClassification': {
        'embed_dim': 8, 'depths': [2, 1], 'num_heads': [1, 2], 'patch_size': 2, 'window_size': 4,
        'mlp_ratio': 2.0,
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
    'DetrForObjectDetection': {
        'num_queries': 3,
        'backbone_config': {'model_type': 'resnet', **STAGES, 'depths': [1, 1], 'out_features': ['stage2']},
    },
    'DPTForDepthEstimation': {
        'num_hidden_layers': 4, 'backbone_out_indices': [0, 1, 2, 3], 'neck_hidden_sizes': [8, 8, 8, 8],
        'fusion_hidden_size': 8,
    },
    'GLPNForDepthEstimation': {
        'hidden_sizes': [8, 8, 16, 16], 'depths': [1, 1, 1, 1], 'num_attention_heads': [1, 1, 2, 2],
        'mlp_ratios': [2, 2, 2, 2], 'decoder_hidden_size': 8,
    },
    'SamVisionModel': {
        'output_channels': 8, 'window_size': 2, 'global_attn_indexes': [1], 'num_pos_feats': 8,
        'mlp_dim': 16,
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
    'Data2VecAudioForSequenceClassification': SOUND,
    'HubertForSequenceClassification': SOUND,
    'SEWDForSequenceClassification': {**SOUND, 'position_buckets': 4, 'max_position_embeddings': 32},
    'SEWForSequenceClassification': SOUND,
    'UniSpeechForSequenceClassification': SOUND,
    'UniSpeechSatForSequenceClassification': SOUND,
    'Wav2Vec2ConformerForSequenceClassification': {**SOUND, 'conv_depthwise_kernel_size': 3},
    'Wav2Vec2ForCTC': SOUND,
    'WavLMForCTC': {**SOUND, 'num_buckets': 8},
}

# Sound as spectra, and what decodes it.
SPECTRA: Mapping[str, Overrides] = {
    'ASTForAudioClassification': {
        'num_mel_bins': 8, 'max_length': 20, 'patch_size': 4, 'frequency_stride': 4, 'time_stride': 4,
    },
    'MoonshineForConditionalGeneration': {
        'encoder_num_hidden_layers': 1, 'decoder_num_hidden_layers': 1, 'encoder_num_attention_heads': 2,
        'decoder_num_attention_heads': 2,
    },
    'Speech2TextForConditionalGeneration': {
        'input_feat_per_channel': 8, 'conv_channels': 16, 'max_target_positions': 16,
    },
    'Wav2Vec2BertForSequenceClassification': {
        **SOUND, 'feature_projection_input_dim': 8, 'conv_depthwise_kernel_size': 3,
    },
    'WhisperForAudioClassification': {
        'num_mel_bins': 8, 'max_source_positions': 10, 'begin_suppress_tokens': None,
    },
    'WhisperForConditionalGeneration': {
        'num_mel_bins': 8, 'max_source_positions': 10, 'max_target_positions': 16,
        'begin_suppress_tokens': None,
    },
}  # fmt: skip

# Text beside images.
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
    'ChineseCLIPModel': {},
    'CLIPModel': {},
    'CLIPSegForImageSegmentation': {
        'extract_layers': [0, 1], 'reduce_dim': 8, 'decoder_intermediate_size': 16,
        'decoder_num_attention_heads': 2,
    },
    'FlavaModel': {},
    'GitForCausalLM': {},
    'GroupViTModel': {
        'training': False,
        'vision_config': {
            'depths': [1, 1, 1], 'num_group_tokens': [4, 2, 0], 'num_output_groups': [4, 2, 2],
        },
    },
    'LlavaForConditionalGeneration': {
        'image_token_index': 63, 'vision_config': {'model_type': 'clip_vision_model'},
        'text_config': {'model_type': 'llama'},
    },
    'LxmertModel': {'l_layers': 1, 'x_layers': 1, 'r_layers': 1, 'visual_feat_dim': 8},
    'MetaClip2Model': {},
    'OwlViTModel': {},
    'SiglipModel': {},
    'ViltModel': {'max_image_length': 16},
    'VisualBertModel': {'visual_embedding_dim': 8},
}  # fmt: skip

# Series of numbers.
SERIES: Mapping[str, Overrides] = {
    'AutoformerForPrediction': {
        'prediction_length': 4, 'context_length': 8, 'lags_sequence': [1, 2], 'num_time_features': 2,
        'label_length': 4, 'moving_average': 3,
    },
    'DecisionTransformerModel': {'state_dim': 3, 'act_dim': 2, 'max_ep_len': 16},
    'InformerForPrediction': {
        'prediction_length': 4, 'context_length': 8, 'lags_sequence': [1, 2], 'num_time_features': 2,
    },
    'PatchTSMixerForPrediction': {
        'context_length': 8, 'patch_length': 4, 'patch_stride': 4, 'prediction_length': 4,
    },
    'PatchTSTForPrediction': {
        'context_length': 8, 'patch_length': 4, 'patch_stride': 4, 'prediction_length': 4,
    },
    'TimeSeriesTransformerForPrediction': {
        'prediction_length': 4, 'context_length': 8, 'lags_sequence': [1, 2], 'num_time_features': 2,
    },
    'TimesFmModelForPrediction': {'patch_length': 4, 'context_length': 8, 'horizon_length': 4},
}  # fmt: skip
