"""A GAN step is one program that does what its passes do, and no more: counted, since a time is never asserted."""

import pytest

from benchmarks.adversarial import parts
from experiments import ddgan, ddgan_cifar
from jaxdiff.nets.ddgan import Generator
from jaxdiff.nets.ddgan_discriminator import Discriminator


def networks(config, width, shape):
    """The digits' kinds of network, with one block at each of fewer resolutions."""
    generator = Generator(
        8, 1, 1, model_channels=width, channel_mult=(1,), num_blocks=1, attn_resolutions=(),
        latent_dim=config.latent_dim, map_features=width, map_layers=1,
    )  # fmt: skip
    return generator, Discriminator(1, width, emb_channels=width, channel_mult=(1, 2), same=1)


@pytest.mark.full
def test_the_step_has_the_flops_of_its_passes(monkeypatch):
    """Within 10 % by the compiler's own count, with R1's gradient of a gradient among them."""
    monkeypatch.setattr(ddgan, "digit_networks", networks)
    config = ddgan_cifar.resolve(ddgan_cifar.Config(batch_size=8, model_channels=8))
    step, *passes = (part.flops for part in parts(config).values())
    assert step == pytest.approx(sum(passes), rel=0.1)
    assert min(passes) > 0
