"""Losses: pure functions that give one number per example, and what they are made of.

A loss takes the model as a function, the data, and the levels and noise that were drawn (`jaxdiff.timesteps` draws
levels). `denoising` has EDM's loss and the weights, `ddpm` L_simple, L_vlb and their hybrid, `score` score matching,
`elbo` the bound of a hierarchical VAE, of which DDPM is one, and `vdm` that of variational diffusion models;
`consistency` and `progressive` have distillation and consistency training, `adversarial` a GAN's losses. `distances`,
`gaussian`, `bits` and `per_example` are their parts.

To add a loss, write `loss(model, x0, level, noise, ...) -> [B]` in a file of its method and name it here.
"""

from jaxdiff.losses import (
    adversarial,
    bits,
    consistency,
    ddpm,
    denoising,
    distances,
    elbo,
    gaussian,
    progressive,
    score,
    vdm,
)
from jaxdiff.losses.adversarial import fake_loss, real_loss, real_loss_with_r1
from jaxdiff.losses.ddpm import hybrid_loss, simple_loss, vlb_loss
from jaxdiff.losses.denoising import (
    denoising_loss,
    edm_loss,
    edm_weight,
    inverse_variance,
    snr_plus_one,
    truncated_snr,
)
from jaxdiff.losses.elbo import ddpm_hvae, hvae_elbo
from jaxdiff.losses.progressive import progressive_loss
from jaxdiff.losses.score import score_loss, sliced_score_loss
from jaxdiff.losses.vdm import vdm_elbo

__all__ = [
    "adversarial",
    "bits",
    "consistency",
    "ddpm",
    "ddpm_hvae",
    "denoising",
    "denoising_loss",
    "distances",
    "edm_loss",
    "edm_weight",
    "elbo",
    "fake_loss",
    "gaussian",
    "hvae_elbo",
    "hybrid_loss",
    "inverse_variance",
    "progressive",
    "progressive_loss",
    "real_loss",
    "real_loss_with_r1",
    "score",
    "score_loss",
    "simple_loss",
    "sliced_score_loss",
    "snr_plus_one",
    "truncated_snr",
    "vdm",
    "vdm_elbo",
    "vlb_loss",
]
