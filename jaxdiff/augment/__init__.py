"""Non-leaking augmentation: transform the training images and tell the network what was done to them.

A network that is conditioned on the transformation learns the augmented distribution without confusing it with the
data; labels of zero ask for the data themselves (Karras et al. 2022, Appendix F.2; Karras et al. 2020, Appendix B).

    images, labels = augment(key, images, training(p=0.12))     # labels go to the network's `augment_labels`

`draw` makes the random numbers and `apply` is a pure function of them, so a run can be replayed.
"""

from jaxdiff.augment.config import Config, label_dim, training
from jaxdiff.augment.draws import Draw, Draws, draw
from jaxdiff.augment.pipe import apply, augment
from jaxdiff.augment.resample import batch_margins

__all__ = ["Config", "Draw", "Draws", "apply", "augment", "batch_margins", "draw", "label_dim", "training"]
