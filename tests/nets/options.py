"""Every network and block of the library with another value for each of its options.

A row: {option: value}, or {option: (what else must be set, value)} where the option is of a part that the network does
not have by default.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.conditioning import AdmConditioning, Conditioning
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.ddgan.blocks import (
    AdaptiveGroupNorm,
    LatentBlock,
    LatentMap,
    OneNormBlock,
    residual_attention,
    scale_one_shift_zero,
)
from jaxdiff.nets.ddgan.dense import DenseGenerator
from jaxdiff.nets.ddgan.discriminator import (
    Discriminator,
    DownBlock,
    large_discriminator,
    minibatch_deviation,
    time_embedding,
)
from jaxdiff.nets.ddgan.generator import Generator
from jaxdiff.nets.embeddings import Fourier, positional
from jaxdiff.nets.features.inception import InceptionV3, tensorflow_input
from jaxdiff.nets.features.inception_blocks import BLOCKS, Block, Standardise, Unit
from jaxdiff.nets.features.vgg import VGG16
from jaxdiff.nets.initialisers import kaiming_uniform, xavier_uniform
from jaxdiff.nets.layers import group_norm
from jaxdiff.nets.mlp import MLP
from jaxdiff.nets.ncsnv2.blocks import AROUND_ONE, ConvMeanPool, InstanceNormPlus, ResidualBlock, conv
from jaxdiff.nets.ncsnv2.refine_block import ChainedPooling, Fusion, RefineBlock, ResidualConvs, resize
from jaxdiff.nets.ncsnv2.refinenet import NCSNv2
from jaxdiff.nets.resampling import resample
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.edm_block import UNetBlock
from jaxdiff.nets.unet.openai import GuidedUNet
from jaxdiff.nets.unet.openai_block import Downsample, ResBlock, SelfAttention, Upsample
from jaxdiff.nets.unet.openai_classifier import AttentionPool, GuidedClassifier
from jaxdiff.nets.unet.openai_encoder import residual_block
from jaxdiff.nets.unet.song import SongUNet
from jaxdiff.nets.unet.song_frame import UNetFrame
from jaxdiff.nets.unet.vdm import VDMAttention, VDMBlock, VDMUNet
from jaxdiff.process.gamma import FixedLinear, LearnedLinear, Monotone, PositiveDense

ABSTRACT = {UNetFrame}
"""Of which the networks below take all options."""

KEY = jax.random.PRNGKey(0)
T, EMB, LABELS = jnp.zeros(2), jnp.zeros((2, 4)), jnp.zeros((2, 2))
INIT = kaiming_uniform(0.5)
PRECISE = {"precision": jax.lax.Precision.DEFAULT}
LOW = {"dtype": jnp.bfloat16}


def image(size=8, channels=1):
    return jnp.zeros((2, size, size, channels))


X, WIDE, GROUPS = image(), image(4, 8), image(4, 32)
NETWORK = {"img_resolution": 16, "in_channels": 2, "out_channels": 2, "model_channels": 8, "channel_mult": (1, 3),
           "num_blocks": 1, "attn_resolutions": (8,), "dropout": 0.3, "remat": True, **LOW}  # fmt: skip
FRAME = {**NETWORK, "embedding_type": "fourier", "encoder_type": "skip", "decoder_type": "skip",
         "resample_filter": (1, 3, 3, 1), "down_filter": ({"resample_filter": (1, 2, 1, 0)}, None),
         "encoder_combine": ({"encoder_type": "skip"}, "cat"), "resblock_updown": False, "skip_scale": 0.5,
         "conditional": False, "resample_conv": ({"resblock_updown": False}, False),
         "group_channels": 1}  # fmt: skip
LABELLED = {"label_dim": 3, "augment_dim": 3, "label_dropout": 0.2}
GUIDED = {**NETWORK, "model_channels": 64, "stem_channels": 64, "num_heads": 2,
          "head_channels": 16, "new_attention_order": ({"num_heads": 2}, True), "adaptive_scale": None,
          "conv_resample": False, "resblock_updown": True}  # fmt: skip
OF_BLOCK = {"features": 12, "direction": "down", "taps": ({"direction": "up"}, (1, 3, 3, 1)), "num_heads": 2,
            "dropout": 0.3, "skip_scale": 0.3, "group_channels": 2, **LOW}  # fmt: skip
LATENT = {**OF_BLOCK, "features": 16, "skip_kernel": ({"features": 16}, 3), "adaptive_norms": None}
RESIDUAL = {"features": 64, "direction": "down", "adaptive_scale": False, "dropout": 0.3,
            "spatial_skip": ({"features": 64}, True), **LOW}  # fmt: skip
RANGE = {"gamma_min": -2.0, "gamma_max": 2.0}

SMALL = {"img_resolution": 8, "in_channels": 1, "out_channels": 1, "channel_mult": (1, 2), "num_blocks": 0,
         "attn_resolutions": ()}  # fmt: skip
LABELLED_INPUTS = {"class_labels": LABELS, "augment_labels": LABELS, "train": True}
TRAIN = {"train": True}

# (network, its inputs, its inputs by name, another value for each option)
ROWS = [
    (SongUNet(**SMALL, model_channels=4, label_dim=2, augment_dim=2, label_dropout=0.1), (X, T), LABELLED_INPUTS,
     {**FRAME, **LABELLED, "down_filter": (FRAME["down_filter"][0], "convolve"), "channel_mult_emb": 2,
      "channel_mult_noise": 2, "nonlinearity": "elu"}),
    (DhariwalUNet(**SMALL, model_channels=64, label_dim=2, augment_dim=2, label_dropout=0.1), (X, T), LABELLED_INPUTS,
     {**NETWORK, **LABELLED, "model_channels": 128, "channel_mult_emb": 2}),
    (GuidedUNet(**SMALL, model_channels=32, label_dim=2), (X, T), {**TRAIN, "class_labels": LABELS},
     {**GUIDED, "label_dim": 3, "adaptive_scale": True, "num_heads_upsample": ({"attn_resolutions": (8,)}, 2),
      "super_resolution": True}),
    (GuidedClassifier(**SMALL, model_channels=32, resblock_updown=False, head_channels=None), (X, T), TRAIN,
     {**GUIDED, "channel_mult": ({"num_blocks": 1}, (1, 3)), "attn_resolutions": ({"num_blocks": 1}, (8,)),
      "adaptive_scale": False, "pool": "adaptive"}),
    (VDMUNet(8, 1, 2, 2, 32, 0), (X, T), LABELLED_INPUTS,
     {"img_resolution": 16, "in_channels": 2, "label_dim": 3, "augment_dim": 3, "model_channels": 64, "num_blocks": 1,
      "attention": True, "fourier_exponents": (6,), **RANGE, "dropout": 0.3, **LOW}),
    (NCSNv2(8, 1, 4, (1, 2), (1, 1)), (X, T), {},
     {"img_resolution": 16, "in_channels": 2, "model_channels": 8, "channel_mult": (1, 3), "dilations": (1, 2),
      "refine_mult": (1, 2), "sigmas": (2.0, 1.0), "centered": False, "population_variance": True, "half_pixel": True,
      "nonlinearity": "relu", "num_levels": 3, **LOW}),
    (Generator(**SMALL, model_channels=4, latent_dim=3, map_features=4, map_layers=1),
     (X, T, jnp.zeros((2, 3))), TRAIN,
     {**FRAME, "decoder_type": "residual", "resample_filter": (1, 1), "latent_dim": 4, "map_features": 8,
      "down_filter": (FRAME["down_filter"][0], "correlate"), "map_layers": 2, "block": OneNormBlock,
      "tanh": False}),
    (Discriminator(1, 4, 4, (1, 1), 1), (X, X, T), {},
     {"in_channels": 2, "model_channels": 8, "emb_channels": 8, "channel_mult": (1, 2), "same": 0, "group": 1,
      "final_scale": 0.5, "remat": True, **LOW}),
    (MLP(2, 4, 1, 4), (T, EMB), {},
     {"features": 3, "width": 8, "depth": 2, "emb_channels": 6, "activation": nn.relu, **LOW}),
    (DenseGenerator(64, 4, 1, 4), (X, T, EMB), {},
     {"features": 3, "width": 8, "depth": 2, "emb_channels": 6, "activation": nn.relu, "tanh": True, **LOW}),
    (InceptionV3(75), (image(75, 3),), {},
     {"side": 77, "prepare": lambda images, side: 0.5 * tensorflow_input(images, side), **PRECISE, **LOW}),
    (VGG16((2, 2), (1, 1)), (image(8, 3),), {},
     {"widths": (2, 4), "depths": (1, 2), "pool": nn.avg_pool, **PRECISE, **LOW}),
    (AttentionPool(3, 8), (WIDE,), {}, {"features": 4, "head_channels": 4, **LOW}),
    (Conditioning(4, 4, 2, 2, 0.1, "positional", xavier_uniform()),
     (2, T, LABELS, LABELS, True), {},
     {**LABELLED, "noise_features": 6, "features": 8, "augment_dim": 0, "embedding_type": "fourier",
      "nonlinearity": "relu", "kernel_init": INIT, **LOW}),
    (AdmConditioning(4, 4, 2, 2, 0.1, xavier_uniform(), 0.0), (2, T, LABELS, LABELS, True), {},
     {"noise_features": 6, "features": 8, **LABELLED, "augment_dim": 0, "kernel_init": INIT, "bias_scale": 1.0, **LOW}),
    (LatentMap(4, 1), (EMB,), {}, {"features": 8, "layers": 2, **LOW}),
    (AdaptiveGroupNorm(), (WIDE, EMB), {}, {"group_channels": 2, **LOW}),
    (LatentBlock(8), (WIDE, (EMB, EMB)), TRAIN, {**LATENT, "adaptive_norms": 1}),
    (OneNormBlock(8), (WIDE, (EMB, EMB)), TRAIN, {**LATENT, "adaptive_norms": 2}),
    (DownBlock(4, False), (WIDE, EMB), {}, {"features": 8, "down": True, **LOW}),
    (Fourier(4), (T,), {}, {"channels": 6, "scale": 1.0}),
    (FixedLinear(), (T,), {}, RANGE),
    (LearnedLinear(), (T,), {}, RANGE),
    (Monotone(features=4), (T,), {}, {**RANGE, "features": 8}),
    (PositiveDense(4), (EMB,), {}, {"features": 8, "kernel_init": INIT, "bias_init": None}),
    (ResBlock(32), (GROUPS, EMB), TRAIN, RESIDUAL),
    (SelfAttention(2), (GROUPS,), {}, {"num_heads": 4, "new_order": True, **LOW}),
    (Downsample(), (GROUPS,), {}, {"conv": False, **LOW}),
    (Upsample(), (GROUPS,), {}, {"conv": False, **LOW}),
    (Standardise(), (WIDE,), {}, {}),
    (Unit(4), (WIDE,), {},
     {"features": 8, "kernel": (3, 3), "stride": 2, "padding": ({"kernel": (3, 3)}, "VALID"), **PRECISE, **LOW}),
    (Block(BLOCKS["Mixed_5b"]), (WIDE,), {},
     {"branches": BLOCKS["Mixed_7a"], **PRECISE, **LOW}),
    (Conv(4, 3), (WIDE,), {},
     {"features": 8, "kernel": 5, "direction": "up", "taps": ({"direction": "down"}, (1, 3)),
      "fused": ({"direction": "up", "taps": (1, 3, 3, 1)}, True), "kernel_init": INIT, "bias_scale": 1.0, "bias": False,
      **LOW}),
    (InstanceNormPlus(), (WIDE,), {}, {"population_variance": True, "num_levels": 3, **LOW}),
    (ResidualBlock(8), (WIDE,), {},
     {"features": ({"project": True}, 4), "down": True, "dilation": 2, "project": True, "population_variance": True,
      "nonlinearity": "relu", "num_levels": 3, **LOW}),
    (ConvMeanPool(4, 3), (WIDE,), {}, {"features": 8, "kernel": 1, **LOW}),
    (RefineBlock(4), ([WIDE, image(2, 8)], (4, 4)), {},
     {"features": 8, "num_outputs": 2, "half_pixel": True, "nonlinearity": "relu", "norm": InstanceNormPlus, **LOW}),
    (ResidualConvs(1), (WIDE,), {}, {"num_blocks": 2, "nonlinearity": "swish", "norm": InstanceNormPlus, **LOW}),
    (Fusion(4), ([WIDE, image(2, 8)], (4, 4)), {},
     {"features": 8, "half_pixel": True, "norm": InstanceNormPlus, **LOW}),
    (ChainedPooling(), (WIDE,), {}, {"nonlinearity": "swish", "norm": InstanceNormPlus, **LOW}),
    (UNetBlock(8), (WIDE, EMB), TRAIN,
     {**OF_BLOCK, "nonlinearity": "lrelu", "eps": 1e-6, "adaptive_scale": False,
      "resample_proj": ({"direction": "up"}, True),
      "kernel_init": INIT, "zero_init": INIT, "attn_init": ({"num_heads": 1}, INIT), "bias_scale": 1.0}),
    (VDMBlock(32, 0.1, None), (GROUPS, EMB, True), {}, {"features": 64, "dropout": 0.3, **LOW}),
    (VDMAttention(None), (GROUPS,), {}, LOW),
]  # fmt: skip

# (network, options that make other parts of it, those that then have no part: what they are about is not there)
CONTEXTS = [
    (SongUNet, {"resblock_updown": False}, set()),
    (SongUNet, {"encoder_type": "residual", "decoder_type": "residual", "resample_filter": (1, 2, 1, 0)}, set()),
    (SongUNet, {"encoder_type": "skip", "decoder_type": "skip", "embedding_type": "fourier"}, set()),
    (Generator, {"resblock_updown": False, "resample_conv": False}, set()),
    (Generator, {"conditional": False, "encoder_type": "standard"}, {"embedding_type"}),
    (GuidedUNet, {"resblock_updown": True, "head_channels": 16}, {"conv_resample", "num_heads", "num_heads_upsample"}),
    (GuidedClassifier, {"resblock_updown": True, "pool": "adaptive"}, {"conv_resample"}),
    (NCSNv2, {"dilations": (1, 2), "sigmas": (2.0, 1.0)}, {"half_pixel"}),
    (UNetBlock, {"direction": "down", "taps": (1, 2, 1, 0), "num_heads": 1}, set()),
    (LatentBlock, {"direction": "down", "taps": (1, 2, 1, 0), "num_heads": 1}, set()),
    (Conv, {"direction": "down", "taps": (1, 2, 1, 0), "fused": True}, set()),
    (Conv, {"kernel": 0, "direction": "up"}, {"features", "kernel_init", "bias_scale", "bias", "dtype", "fused"}),
]

# (function, its arguments, another value for each of its options)
FUNCTIONS = [
    (residual_attention, (WIDE, 1, 0.5, None), {"group_channels": 2}),
    (scale_one_shift_zero, (KEY, (4,)), LOW),
    (AROUND_ONE, (KEY, (4,)), LOW),
    (minibatch_deviation, (jnp.zeros((4, 2, 2, 1)),), {"group": 2}),
    (time_embedding, (T, [4, 4]), LOW),
    (large_discriminator, (1,), {"model_channels": 8, "emb_channels": 8, **LOW}),
    (positional, (T, 6), {"max_period": 100.0, "end_point": False, "cosine_first": True}),
    (tensorflow_input, (X,), {"side": 75}),
    (xavier_uniform, (), {"scale": 0.5}),
    (kaiming_uniform, (), {"scale": 0.5}),
    (resample, (WIDE, (1, 3, 3, 1), "down"), {"pad": 0}),
    (group_norm, (8, 1e-5, None, "norm"), {"least": 2}),
    (conv, (WIDE, 4, "conv", None), {"kernel": 1, "dilation": 2, "bias": False}),
    (resize, (WIDE, (8, 8)), {"half_pixel": True}),
    (residual_block, (ROWS[2][0], 32, "block"), {"direction": "up"}),
]
