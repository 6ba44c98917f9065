"""A network that compiles in a second, in the place of a U-Net where a test is not about the network."""

import flax.linen as nn
import jax.numpy as jnp


class Pixelwise(nn.Module):
    """Every pixel by itself, scaled and shifted by what the whole image is told: its time and its class."""

    out_channels: int = 1
    label_dim: int = 0

    @nn.compact
    def __call__(self, x, noise_labels, class_labels=None, augment_labels=None, train=False):
        told = jnp.asarray(noise_labels, x.dtype).reshape(-1, 1) / 1_000
        if self.label_dim and class_labels is not None:
            told = told + nn.Dense(1)(class_labels)
        h = nn.silu(nn.Dense(4)(x) + told[:, None, None, :])
        return nn.Dense(self.out_channels)(h)


def pixelwise(*, out_channels, label_dim=0, **others):
    """Pixelwise for the options of a U-Net."""
    return Pixelwise(out_channels, label_dim)
