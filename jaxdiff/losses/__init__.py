"""Losses: pure functions that give one number per example; drawing sigma and noise is separate and equally public."""

from jaxdiff.losses.denoising import (
    denoising_loss,
    edm_loss,
    edm_weight,
    inverse_variance,
    lognormal_sigma,
    snr_plus_one,
    truncated_snr,
    ve_sigma,
    vp_sigma,
)

__all__ = [
    "denoising_loss",
    "edm_loss",
    "edm_weight",
    "inverse_variance",
    "lognormal_sigma",
    "snr_plus_one",
    "truncated_snr",
    "ve_sigma",
    "vp_sigma",
]
