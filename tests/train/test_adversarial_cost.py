"""A GAN step is one program that does what its passes do, and no more: counted, since a time is never asserted."""

import pytest

from benchmarks.adversarial import parts
from experiments import ddgan_cifar


@pytest.mark.full
def test_the_step_has_the_flops_of_its_passes():
    """Within 10 % by the compiler's own count, with R1's gradient of a gradient among them."""
    config = ddgan_cifar.resolve(ddgan_cifar.Config(batch_size=8, model_channels=8))
    step, *passes = (part.flops for part in parts(config).values())
    assert step == pytest.approx(sum(passes), rel=0.1)
    assert min(passes) > 0
