"""Networks: Flax Linen modules in NHWC with float32 parameters; `dtype` is the type they compute in.

`unet` (DDPM++, NCSN++, ADM, VDM's), `ncsnv2`, `ddgan`, `features` (what metrics compare) and `mlp`, each named after
whose network it is. Shared parts, one concept a file: `initialisers`, `resampling`, `convolution`, `attention`,
`embeddings`, `conditioning`, `layers`, and `checks`, which refuse before anything is compiled. Samplers and losses
import nothing from here: any function of (params, x, noise_labels) will do.

To add a network, write a Linen module in a file of its own, and its row in `tests/nets/options.py`.
"""

from jaxdiff.nets import ddgan, features, ncsnv2, unet
from jaxdiff.nets.mlp import MLP

__all__ = ["MLP", "ddgan", "features", "ncsnv2", "unet"]
