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

from experiments.harness import cli, experiment, training
from experiments.harness.system import System
from experiments.systems import ddpm, digits_unet


@dataclass(frozen=True)
class Config(digits_unet.DigitsUNet, ddpm.Diffusion):
    """DDPM on 8x8 digits. Defaults were chosen on this data set; what is not named here is the papers'."""

    workdir: Path = Path("runs/ddpm_digits")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    steps: int = 1_000
    """Training steps."""
    label_dropout: float = 0.0
    """Probability that a class is hidden in training, for classifier-free guidance (experiments.sample --guidance)."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(training.smoke(config), model_channels=8, num_blocks=1, chain_length=max(config.num_steps, 50))


def system(config: Config) -> System:
    """The network, its loss, its denoiser and its reverse chain."""
    unet = digits_unet.module(config, ddpm.channels_of(config, 1), label_dropout=config.label_dropout)
    built = ddpm.assemble(config, digits_unet.network(config, unet))
    return built._replace(unconditional=config.label_dropout > 0)


EXPERIMENT = experiment.Experiment("ddpm_digits", Config, system, smoke)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddpm_digits")
