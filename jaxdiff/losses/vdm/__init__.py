"""The variational bound of VDM: its three terms in continuous and discrete time, and the decoder of pixels.

`terms` has the bound, `decoder` p(pixels | z_0); the process is `process.vdm`, gamma(t) is in `process.gamma`. Another
weighting of the diffusion term is one more function in `terms`.
"""

from jaxdiff.losses.vdm import decoder, terms
from jaxdiff.losses.vdm.decoder import reconstruction_loss
from jaxdiff.losses.vdm.terms import Gamma, VDMTerms, continuous_loss, discrete_loss, prior_loss, vdm_elbo

__all__ = [
    "Gamma",
    "VDMTerms",
    "continuous_loss",
    "decoder",
    "discrete_loss",
    "prior_loss",
    "reconstruction_loss",
    "terms",
    "vdm_elbo",
]
