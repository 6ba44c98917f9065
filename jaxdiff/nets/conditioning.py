"""What a U-Net is told beside the image: the noise level, a class, the augmentation; and the checks on shapes."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.embeddings import Fourier, positional
from jaxdiff.nets.layers import Init, Nonlinearity, activation, bounded, scaled
from jaxdiff.types import Array, ArrayLike

EmbeddingType = Literal["positional", "fourier"]


class Conditioning(nn.Module):
    """One embedding vector [B or 1, features] for all blocks: act(W1 act(W0 (noise + class + augmentation))).

    Attributes:
      noise_features: width of the noise label's embedding; features: width of the result.
      label_dim, augment_dim, label_dropout, embedding_type, nonlinearity: as the networks name them.
    Raises: ValueError for another embedding_type or nonlinearity.
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
            labels = _or_zeros(class_labels, self.label_dim, t)
            if train and self.label_dropout:
                labels = drop_labels(labels, _uniform(self, batch), self.label_dropout)
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
            labels = _or_zeros(class_labels, self.label_dim, t)
            if train and self.label_dropout:
                labels = drop_labels(labels, _uniform(self, batch), self.label_dropout)
            init = scaled(nn.initializers.variance_scaling(1.0, "fan_in", "normal"), self.label_dim**0.5)
            emb = emb + nn.Dense(self.features, False, self.dtype, kernel_init=init, name="map_label")(labels)
        return nn.silu(emb)

    def _layer(self, name: str, emb: Array) -> Array:
        bias = bounded(self.bias_scale / emb.shape[-1] ** 0.5)
        return nn.Dense(self.features, True, self.dtype, kernel_init=self.kernel_init, bias_init=bias, name=name)(emb)


def _as_vector(noise_labels: ArrayLike) -> Array:
    """Noise labels as [B or 1], float32 or better."""
    t = jnp.asarray(noise_labels).reshape(-1)
    return t.astype(jnp.promote_types(t.dtype, jnp.float32))


def _or_zeros(labels: Array | None, dim: int, t: Array) -> Array:
    """Labels, or one row of zeros for all examples."""
    return jnp.zeros((1, dim), t.dtype) if labels is None else labels


def _uniform(module: nn.Module, batch: int) -> Array:
    """One number an example, for dropping labels, also where all examples share one label."""
    return jax.random.uniform(module.make_rng("dropout"), (batch, 1))


def drop_labels(labels: Array, uniform: Array, rate: float) -> Array:
    """Labels [B or 1, L] whose uniform number [B, 1] is below the rate become zero, which means "no label".

    Reference: Ho & Salimans 2022, Alg. 1, for training the conditional and the unconditional network as one.
    Example:
      >>> drop_labels(jnp.ones((1, 2)), jnp.array([[0.05], [0.9]]), 0.1).tolist()
      [[0.0, 0.0], [1.0, 1.0]]
    """
    return labels * (uniform >= rate).astype(labels.dtype)


def check_levels(img_resolution: int, model_channels: int, channel_mult: Sequence[int]) -> None:
    """Raise ValueError unless every resolution is whole and every width splits into groups of norm."""
    factor = 2 ** (len(channel_mult) - 1)
    if img_resolution < factor or img_resolution % factor:
        raise ValueError(f"img_resolution={img_resolution} must be divisible by {factor}, as it is halved that far")
    for mult in channel_mult:
        width = model_channels * mult
        if width < 4 or width % min(32, width // 4):
            raise ValueError(
                f"model_channels={model_channels} times {mult} must be 4 or more and a multiple of min(32, C // 4)"
            )


def check_choices(options: Any) -> None:
    """Raise ValueError unless every field of a dataclass that is declared a Literal holds one of its values."""
    for field in dataclasses.fields(options):
        if get_origin(field.type) is Literal:
            check_choice(field.name, getattr(options, field.name), field.type)


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raise ValueError unless the value is one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")


def check_inputs(
    net: Any, x: Array, noise_labels: ArrayLike, class_labels: ArrayLike | None, augment_labels: ArrayLike | None
) -> None:
    """Raise ValueError unless the shapes of a call fit the network's attributes."""
    check_image(net, x, noise_labels)
    for name, labels, dim in (
        ("class_labels", class_labels, net.label_dim),
        ("augment_labels", augment_labels, net.augment_dim),
    ):
        if labels is None:
            continue
        shape = jnp.shape(labels)
        if not dim:
            raise ValueError(f"{name} were given to a network that takes none")
        if len(shape) != 2 or shape[1] != dim or shape[0] not in (1, x.shape[0]):
            raise ValueError(f"{name} must be [{x.shape[0]} or 1, {dim}], got {list(shape)}")


def check_image(net: Any, x: Array, noise_labels: ArrayLike) -> None:
    """Raise ValueError unless the image fits the network's attributes, and the noise labels the image."""
    expected = (net.img_resolution, net.img_resolution, net.in_channels)
    if x.ndim != 4 or x.shape[1:] != expected:
        raise ValueError(f"x must be [B, {', '.join(map(str, expected))}] for this network, got {list(x.shape)}")
    if jnp.shape(noise_labels) not in ((), (1,), x.shape[:1]):
        raise ValueError(f"noise_labels must be [] or [{x.shape[0]}], got {list(jnp.shape(noise_labels))}")
