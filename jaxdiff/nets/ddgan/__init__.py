"""The networks of denoising diffusion GANs (Xiao et al. 2022): `Generator`, and discriminators of two sizes.

The generator is NCSN++ with a latent, on `nets.unet.song_frame`; `blocks` holds how the latent enters it. `dense` has a
generator of dense layers, ours, for points and the smallest images.

To add another generator or discriminator, write it in a file of its own, and its row in `tests/nets/options.py`.
"""

from jaxdiff.nets.ddgan.blocks import LatentBlock, OneNormBlock
from jaxdiff.nets.ddgan.dense import DenseGenerator
from jaxdiff.nets.ddgan.discriminator import Discriminator, large_discriminator
from jaxdiff.nets.ddgan.generator import Generator

__all__ = ["DenseGenerator", "Discriminator", "Generator", "LatentBlock", "OneNormBlock", "large_discriminator"]
