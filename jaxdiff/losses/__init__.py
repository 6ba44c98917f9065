"""Losses: pure functions that give one number per example; drawing sigma and noise is separate and equally public."""

from jaxdiff.losses.denoising import edm_loss, lognormal_sigma

__all__ = ["edm_loss", "lognormal_sigma"]
