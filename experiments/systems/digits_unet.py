"""The U-Net of the experiments on 8x8 digits: a small DDPM++ (Song et al. 2021), conditioned on the ten classes."""

from dataclasses import dataclass
from typing import Any

from experiments.harness.devices import Devices
from experiments.systems.network import Network, of_images
from jaxdiff.data import digits
from jaxdiff.nets.unet.song import SongUNet


@dataclass(frozen=True)
class DigitsUNet:
    """What can be chosen of the network."""

    model_channels: int = 32
    """Channels at 8x8; twice as many at 4x4."""
    num_blocks: int = 1
    """Residual blocks a resolution."""
    dropout: float = 0.0
    """Probability that an activation is dropped in training."""


def module(config: DigitsUNet, out_channels: int = 1, **options: Any) -> SongUNet:
    """Build the network with other attributes of `SongUNet` as options."""
    return SongUNet(
        img_resolution=8,
        in_channels=1,
        out_channels=out_channels,
        label_dim=10,
        model_channels=config.model_channels,
        channel_mult=(1, 2),
        num_blocks=config.num_blocks,
        attn_resolutions=(4,),
        dropout=config.dropout,
        **options,
    )


def network(config: Devices, unet: SongUNet) -> Network:
    """Return it with the shape, the classes and the grey values of digits."""
    return of_images(config, unet, (8, 8, 1), num_classes=10, bins=digits.GREY_VALUES)
