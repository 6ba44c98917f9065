"""What conditions a U-Net: the noise level, a class and the augmentation, in one embedding."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.checks import check_choices
from jaxdiff.nets.embeddings import Fourier, positional
from jaxdiff.nets.initialisers import Init, bounded_uniform, scaled
from jaxdiff.nets.layers import Nonlinearity, activation
from jaxdiff.types import Array, ArrayLike

EmbeddingType = Literal["positional", "fourier"]


class Conditioning(nn.Module):
    """One embedding vector [B or 1, features] for all blocks: act(W1 act(W0 (noise + class + augmentation))).

    Attributes:
      noise_features: width of the noise label's embedding; features: width of the result.
      label_dim, augment_dim, label_dropout, embedding_type, nonlinearity: as the networks name them.
    Call: net.apply(params, batch, noise_labels [] or [B], class_labels, augment_labels, train, rngs={"dropout": key}).
    Raises: ValueError for another embedding_type or nonlinearity.
    Reference: Song et al. 2021, Appendix H; Karras et al. 2022, Appendix F.1.
    Example:
      >>> from jaxdiff.nets.initialisers import xavier_uniform
      >>> net = Conditioning(4, 8, 0, 0, 0.0, "positional", xavier_uniform())
      >>> net.init_with_output(jax.random.key(0), 2, jnp.zeros(2), None, None, False)[0].shape
      (2, 8)
    """

    noise_features: int
    features: int
    label_dim: int
    augment_dim: int
    label_dropout: float
    embedding_type: EmbeddingType
    kernel_init: Init
    dtype: Any = None
    nonlinearity: Nonlinearity = "swish"

    @nn.compact
    def __call__(
        self, batch: int, noise_labels: Array, class_labels: Array | None, augment_labels: Array | None, train: bool
    ) -> Array:
        check_choices(self)
        linear = lambda features, name, bias=True: nn.Dense(  # noqa: E731
            features, bias, dtype=self.dtype, kernel_init=self.kernel_init, name=name
        )
        t = _as_vector(noise_labels)
        if self.embedding_type == "fourier":
            emb = Fourier(self.noise_features, name="map_noise")(t)
        else:
            emb = positional(t, self.noise_features)
        if self.label_dim:
            labels = _classes(self, class_labels, batch, t, train)
            emb = emb + linear(self.noise_features, "map_label")(labels * self.label_dim**0.5)
        if self.augment_dim:
            augment = linear(self.noise_features, "map_augment", bias=False)
            if augment_labels is not None or self.is_initializing():
                emb = emb + augment(_or_zeros(augment_labels, self.augment_dim, t))
        activate = activation(self.nonlinearity)
        emb = activate(linear(self.features, "map_layer0")(emb))
        return activate(linear(self.features, "map_layer1")(emb))


class AdmConditioning(nn.Module):
    """ADM's embedding: classes join after the two layers, augmentation before them.

    SiLU(W1 SiLU(W0 (noise + augmentation)) + class), with no bias on either kind of label.

    Attributes:
      noise_features: width of the noise label's embedding; features: width of the result.
      label_dim, augment_dim, label_dropout: as the networks name them.
      kernel_init, bias_scale: of the two layers.
      dtype: type of computation; parameters are float32.
    Call: as `Conditioning`.
    Reference: Dhariwal & Nichol 2021; Karras et al. 2022, Appendix F.1.
    Example:
      >>> from jaxdiff.nets.initialisers import kaiming_uniform
      >>> net = AdmConditioning(4, 8, 0, 0, 0.0, kaiming_uniform(), bias_scale=1.0)
      >>> net.init_with_output(jax.random.key(0), 2, jnp.zeros(2), None, None, False)[0].shape
      (2, 8)
    """

    noise_features: int
    features: int
    label_dim: int
    augment_dim: int
    label_dropout: float
    kernel_init: Init
    bias_scale: float
    dtype: Any = None

    @nn.compact
    def __call__(
        self, batch: int, noise_labels: Array, class_labels: Array | None, augment_labels: Array | None, train: bool
    ) -> Array:
        t = _as_vector(noise_labels)
        emb = positional(t, self.noise_features, end_point=False, cosine_first=True)
        if self.augment_dim:
            augment = nn.Dense(
                self.noise_features, False, self.dtype, kernel_init=nn.initializers.zeros, name="map_augment"
            )
            if augment_labels is not None or self.is_initializing():
                emb = emb + augment(_or_zeros(augment_labels, self.augment_dim, t))
        emb = nn.silu(self._layer("map_layer0", emb))
        emb = self._layer("map_layer1", emb)
        if self.label_dim:
            labels = _classes(self, class_labels, batch, t, train)
            init = scaled(nn.initializers.variance_scaling(1.0, "fan_in", "normal"), self.label_dim**0.5)
            emb = emb + nn.Dense(self.features, False, self.dtype, kernel_init=init, name="map_label")(labels)
        return nn.silu(emb)

    def _layer(self, name: str, emb: Array) -> Array:
        bias = bounded_uniform(self.bias_scale / emb.shape[-1] ** 0.5)
        return nn.Dense(self.features, True, self.dtype, kernel_init=self.kernel_init, bias_init=bias, name=name)(emb)


def _as_vector(noise_labels: ArrayLike) -> Array:
    """Noise labels as [B or 1], float32 or better."""
    t = jnp.asarray(noise_labels).reshape(-1)
    return t.astype(jnp.promote_types(t.dtype, jnp.float32))


def _or_zeros(labels: Array | None, dim: int, t: Array) -> Array:
    """Labels, or zeros, [1, dim], for all examples."""
    return jnp.zeros((1, dim), t.dtype) if labels is None else labels


def _classes(net: Conditioning | AdmConditioning, labels: Array | None, batch: int, t: Array, train: bool) -> Array:
    """Class labels, some of them dropped in training: each example by itself, also where all share one label."""
    labels = _or_zeros(labels, net.label_dim, t)
    if not (train and net.label_dropout):
        return labels
    return drop_labels(labels, jax.random.uniform(net.make_rng("dropout"), (batch, 1)), net.label_dropout)


def drop_labels(labels: Array, uniform: Array, rate: float) -> Array:
    """Drop labels at random: where u < rate the label becomes zero, which means "no label".

    Args:
      labels: [B or 1, L].
      uniform: u, [B, 1] in [0, 1).
      rate: probability that a label is dropped.
    Returns: [B, L].
    Reference: Ho & Salimans 2022, Alg. 1, for training the conditional and the unconditional network as one.
    Example:
      >>> drop_labels(jnp.ones((1, 2)), jnp.array([[0.05], [0.9]]), 0.1).tolist()
      [[0.0, 0.0], [1.0, 1.0]]
    """
    return labels * (uniform >= rate).astype(labels.dtype)
