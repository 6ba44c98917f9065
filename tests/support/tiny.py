"""Networks that compile in a second, instead of the experiments' own where a test is not about the network."""

import contextlib
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import pytest

from experiments.systems import edm_recipes
from jaxdiff import augment


class Pixelwise(nn.Module):
    """Every pixel by itself, with the conditioning of the whole image: its time, its class, its augmentation."""

    out_channels: int = 1
    label_dim: int = 0
    augment_dim: int = 0
    img_resolution: int = 8
    in_channels: int = 1
    dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x, noise_labels, class_labels=None, augment_labels=None, train=False):
        embedded = jnp.asarray(noise_labels, x.dtype).reshape(-1, 1) / 1_000
        for labels, size in ((class_labels, self.label_dim), (augment_labels, self.augment_dim)):
            if size:
                embedded = embedded + nn.Dense(1)(jnp.zeros((1, size)) if labels is None else labels)
        h = nn.silu(nn.Dense(4, dtype=self.dtype)(x) + embedded[:, None, None, :])
        return nn.Dense(self.out_channels, dtype=self.dtype)(h)


class Generator(nn.Module):
    """Pixelwise, with a latent."""

    latent_dim: int
    out_channels: int

    @nn.compact
    def __call__(self, x, t, latent):
        return Pixelwise(self.out_channels, self.latent_dim)(x, t, latent)


class Discriminator(nn.Module):
    """The mean of what Pixelwise says of both images."""

    group: int = 4
    channel_mult: tuple = ()

    @nn.compact
    def __call__(self, x_prev, x, t):
        return Pixelwise()(jnp.concatenate([x_prev, x], axis=-1), t).mean(axis=(1, 2, 3))


def song(*, out_channels, label_dim=0, **others):
    """Replaces `SongUNet`."""
    return Pixelwise(out_channels, label_dim)


def guided(size, channels, out_channels, **others):
    """Replaces `GuidedUNet`."""
    return Pixelwise(out_channels)


def of_recipe(recipe, channels=3, *, img_resolution=8, label_dim=0, **others):
    """Replaces `edm_recipes.network`."""
    pipe = edm_recipes.augmentation(recipe)
    return Pixelwise(channels, label_dim, augment.label_dim(pipe) if pipe else 0, img_resolution, channels)


def of_options(options):
    """Replaces `interop.score_sde.network`."""
    return Pixelwise(options.num_channels)


def adversaries(config, width, shape, **others):
    """Replaces `ddgan.digit_networks`."""
    return Generator(config.latent_dim or 1, shape[-1]), Discriminator()


def of_gan_options(options):
    """Replaces `ddgan.network`."""
    return Generator(options.nz, options.num_channels)


NETWORKS = {
    "experiments.systems.digits_unet.SongUNet": song,
    "experiments.systems.edm_recipes.network": of_recipe,
    "experiments.ddpm_cifar.GuidedUNet": guided,
    "jaxdiff.interop.score_sde.network": of_options,
    "experiments.systems.ddgan.digit_networks": adversaries,
    "jaxdiff.interop.ddgan.network": of_gan_options,
    "experiments.ddgan_cifar.Discriminator": lambda channels, width: Discriminator(),
}
"""Where the experiments name their networks; those of dense layers stay as they are."""


@contextlib.contextmanager
def networks():
    """Every experiment has a network that compiles in a second."""
    with pytest.MonkeyPatch.context() as patched:
        for place, network in NETWORKS.items():
            patched.setattr(place, network)
        yield
