"""Non-leaking augmentation: transform the training images, and condition the network on the transformation.

The network then learns the augmented distribution without confusing it with the data; labels of zero ask for the data
themselves (Karras et al. 2022, Appendix F.2; Karras et al. 2020, Appendix B).

    images, labels = augment(key, images, edm_config(p=0.12))     # labels go to the network's `augment_labels`

`draw` makes the random numbers and `apply` is a pure function of them, so a run can be replayed. `blit` moves whole
pixels, `geometry` and `resample` transform the plane, `color` the colours.

To add a transformation, give it a multiplier and a strength in `Config`, a field in `Draws` and a place among the
random numbers of `draws`, its step in one of those files, and a case in `tests/augment`.
"""

from jaxdiff.augment.config import Config, edm_config, label_dim
from jaxdiff.augment.draws import Draw, Draws, draw
from jaxdiff.augment.pipe import apply, augment
from jaxdiff.augment.resample import batch_margins

__all__ = ["Config", "Draw", "Draws", "apply", "augment", "batch_margins", "draw", "edm_config", "label_dim"]
