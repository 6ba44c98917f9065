"""DDPM on scikit-learn's 8x8 handwritten digits, class-conditional: from nothing to a picture in minutes.

    python -m experiments.ddpm_digits
    python -m experiments.evaluate --workdir runs/ddpm_digits --elbo

trains a small DDPM++ network to predict the noise of a 1,000-step cosine chain and the variances of its reverse steps
(Ho et al. 2020; Nichol & Dhariwal 2021), draws 1,000 digits with 50 DDIM steps, and leaves samples.png, samples.npz and
report.json in --workdir; the second line adds the variational bound in bits/dim. Interrupt it whenever you like: the
same command goes on from the last checkpoint.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp

from experiments import cli, ddpm, stages
from experiments.system import System
from jaxdiff.data import digits
from jaxdiff.nets.unet_song import SongUNet
from jaxdiff.types import Key, Params


@dataclass(frozen=True)
class Config(ddpm.Diffusion):
    """DDPM on 8x8 digits. Defaults were chosen on this data set; what is not named here is the papers'."""

    workdir: Path = Path("runs/ddpm_digits")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    steps: int = 1_000
    """Training steps."""
    model_channels: int = 32
    """Channels at 8x8; twice as many at 4x4."""
    num_blocks: int = 1
    """Residual blocks a resolution."""
    dropout: float = 0.0
    """Probability that an activation is dropped in training."""
    label_dropout: float = 0.0
    """Probability that a class is hidden in training, for classifier-free guidance (experiments.sample --guidance)."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(stages.smoke(config), model_channels=8, num_blocks=1, chain_length=max(config.num_steps, 50))


def system(config: Config) -> System:
    """The network, its loss, its denoiser and its reverse chain."""
    net = SongUNet(
        img_resolution=8,
        in_channels=1,
        out_channels=ddpm.channels_of(config, 1),
        label_dim=10,
        model_channels=config.model_channels,
        channel_mult=(1, 2),
        num_blocks=config.num_blocks,
        attn_resolutions=(4,),
        dropout=config.dropout,
        label_dropout=config.label_dropout,
    )

    def init(key: Key) -> Params:
        return net.init(key, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1), class_labels=jnp.zeros((1, 10)))

    return ddpm.assemble(config, net, init, shape=(8, 8, 1), classes=10, bins=digits.LEVELS)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    stages.run("ddpm_digits", config, system, smoke)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddpm_digits")
