"""U-Nets, each named after whose network it is.

`song` is Song et al.'s DDPM++ and NCSN++ (on `song_frame` and EDM's `edm_block`), `edm_adm` is ADM as EDM trains it,
`openai` is the U-Net of improved DDPM and ADM as OpenAI published it, with `openai_classifier`, ADM's classifier (both
on `openai_encoder` and `openai_block`), and `vdm` is that of variational diffusion models.

To add one, write a Linen module in a file of its own, and its row in `tests/nets/options.py`.
"""

from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.openai import GuidedUNet
from jaxdiff.nets.unet.openai_classifier import GuidedClassifier
from jaxdiff.nets.unet.song import SongUNet
from jaxdiff.nets.unet.vdm import VDMUNet

__all__ = ["DhariwalUNet", "GuidedClassifier", "GuidedUNet", "SongUNet", "VDMUNet"]
