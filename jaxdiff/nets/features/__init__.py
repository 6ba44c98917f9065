"""Networks whose features metrics compare: InceptionV3 of the FID literature, and VGG-16 for LPIPS.

Their published weights are read by `interop.inception` and `interop.lpips`. To add one, write its module with the names
of its published parameters, a reader in `interop`, and its row in `tests/nets/options.py`.
"""

from jaxdiff.nets.features.inception import InceptionV3
from jaxdiff.nets.features.vgg import VGG16

__all__ = ["VGG16", "InceptionV3"]
