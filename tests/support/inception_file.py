"""A state dict in the layout of the published FID file, with random weights that keep the size of activations.

And images to look at with NET, the smallest that the network's sides allow.
"""

from collections import OrderedDict

import numpy as np

from jaxdiff.nets.features.inception import InceptionV3

NET = InceptionV3(side=75)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 9, 10, 3), dtype=np.uint8)
STEM = {
    "1a_3x3": (3, 32, 3),
    "2a_3x3": (32, 32, 3),
    "2b_3x3": (32, 64, 3),
    "3b_1x1": (64, 80, 1),
    "4a_3x3": (80, 192, 3),
}
A, C = (
    {"Mixed_5b": 192, "Mixed_5c": 256, "Mixed_5d": 288},
    {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192},
)
E = {"Mixed_7b": 1280, "Mixed_7c": 2048}


def shapes():
    """Name of a convolution -> [out, in, height, width], as torchvision's tables have them."""
    found = {f"Conv2d_{name}": (n_out, n_in, k, k) for name, (n_in, n_out, k) in STEM.items()}

    def add(block, **convolutions):
        found.update({f"{block}.{name}": shape for name, shape in convolutions.items()})

    for block, n in A.items():
        add(
            block, branch1x1=(64, n, 1, 1), branch5x5_1=(48, n, 1, 1), branch5x5_2=(64, 48, 5, 5),
            branch3x3dbl_1=(64, n, 1, 1), branch3x3dbl_2=(96, 64, 3, 3), branch3x3dbl_3=(96, 96, 3, 3),
            branch_pool=(32 if block == "Mixed_5b" else 64, n, 1, 1),
        )  # fmt: skip
    add(
        "Mixed_6a", branch3x3=(384, 288, 3, 3), branch3x3dbl_1=(64, 288, 1, 1), branch3x3dbl_2=(96, 64, 3, 3),
        branch3x3dbl_3=(96, 96, 3, 3),
    )  # fmt: skip
    for block, c in C.items():
        add(
            block, branch1x1=(192, 768, 1, 1), branch7x7_1=(c, 768, 1, 1), branch7x7_2=(c, c, 1, 7),
            branch7x7_3=(192, c, 7, 1), branch7x7dbl_1=(c, 768, 1, 1), branch7x7dbl_2=(c, c, 7, 1),
            branch7x7dbl_3=(c, c, 1, 7), branch7x7dbl_4=(c, c, 7, 1), branch7x7dbl_5=(192, c, 1, 7),
            branch_pool=(192, 768, 1, 1),
        )  # fmt: skip
    add(
        "Mixed_7a", branch3x3_1=(192, 768, 1, 1), branch3x3_2=(320, 192, 3, 3), branch7x7x3_1=(192, 768, 1, 1),
        branch7x7x3_2=(192, 192, 1, 7), branch7x7x3_3=(192, 192, 7, 1), branch7x7x3_4=(192, 192, 3, 3),
    )  # fmt: skip
    for block, n in E.items():
        add(
            block, branch1x1=(320, n, 1, 1), branch3x3_1=(384, n, 1, 1), branch3x3_2a=(384, 384, 1, 3),
            branch3x3_2b=(384, 384, 3, 1), branch3x3dbl_1=(448, n, 1, 1), branch3x3dbl_2=(384, 448, 3, 3),
            branch3x3dbl_3a=(384, 384, 1, 3), branch3x3dbl_3b=(384, 384, 3, 1), branch_pool=(192, n, 1, 1),
        )  # fmt: skip
    return found


def published(seed=0):
    """The state dict: weights OIHW without bias, four arrays and a counter of each batch norm, one matrix."""
    random = np.random.default_rng(seed)
    state = OrderedDict()

    def put(name, values):
        state[name] = np.asarray(values, np.float32)

    for name, shape in shapes().items():
        n = shape[0]
        put(f"{name}.conv.weight", random.normal(size=shape, scale=np.sqrt(2 / np.prod(shape[1:]))))
        put(f"{name}.bn.weight", random.uniform(0.8, 1.2, n))
        put(f"{name}.bn.bias", random.normal(size=n, scale=0.2))
        put(f"{name}.bn.running_mean", random.normal(size=n, scale=0.2))
        put(f"{name}.bn.running_var", random.uniform(0.5, 1.5, n))
        state[f"{name}.bn.num_batches_tracked"] = np.zeros((), np.int64)
    put("fc.weight", random.normal(size=(1008, 2048), scale=0.03))
    put("fc.bias", random.normal(size=1008, scale=0.1))
    state._metadata = OrderedDict({"": {"version": 1}})  # as PyTorch's modules leave it
    return state
