"""Score SDE's resampling, embeddings and norms of NCSNv2, of the PyTorch port and of the original, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.embeddings import positional
from jaxdiff.nets.ncsnv2.blocks import InstanceNormPlus
from jaxdiff.nets.resampling import convolution_taps, resample, upfirdn
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import first_of_a_kind

READS = ("score_sde/layers*.npz",)
# Norms that no network of the library has, two alternatives of NCSN's configurations.
NOT_SERVED = {"InstanceNorm", "VarianceNorm"}
CASES = [(path, case) for path in reference.files(*READS) for case in reference.cases(reference.load(path))]


class Recorded:
    """A case: options, images channels last, and how an image of ours compares."""

    def __init__(self, path, case):
        arrays = reference.load(path)
        self.arrays = {**arrays, **reference.subset(arrays, case)}
        self.config = reference.config(arrays, case)
        self.original = self.config.get("layout") == "NHWC"
        self.outputs = reference.subset(arrays, f"{case}/out")

    def image(self, name):
        a = self.arrays[name]
        return jnp.asarray(a, jnp.float64) if self.original else nhwc(a)

    def kernel(self):
        """[kh, kw, in, out]."""
        w = np.asarray(self.arrays["in/w"], np.float64)
        return w if self.original else w.transpose(2, 3, 1, 0)

    def check(self, found, name):
        close(nchw(found) if found.ndim == 4 and not self.original else found, self.outputs[name])


def filtered(recorded):
    """Filters as the networks use them where they may, else the operations that they are made of."""
    assert set(recorded.config) <= {"kernel", "layout", "w"}
    assert recorded.config.get("w", "HWIO") == "HWIO"
    taps, x, kernel = recorded.config["kernel"], recorded.image("in/x"), recorded.kernel()
    found = {"upsample": sampled(x, taps, "up"), "downsample": sampled(x, taps, "down")}
    found["upsample_gain"] = 1.5 * found["upsample"]
    for direction, name in (("down", "conv_downsample"), ("up", "upsample_conv")):
        if name in recorded.outputs and not len(taps) % 2:
            layer = Conv(kernel.shape[-1], 3, direction, convolution_taps(taps, direction), fused=True, bias=False)
            found[name] = layer.apply({"params": {"kernel": kernel}}, x)
        elif name in recorded.outputs:
            assert direction == "down"
            found[name] = strided(x, taps, kernel)
    return found


def sampled(x, taps, direction):
    if not len(taps) % 2:
        return resample(x, convolution_taps(taps, direction), direction)
    weights, p = np.outer(taps, taps) / np.sum(taps) ** 2, len(taps) - 2
    if direction == "up":
        return upfirdn(x, 4 * weights, (1, 2), 2, 1, ((p + 1) // 2 + 1, p // 2 + 1))
    return upfirdn(x, weights, (1, 2), 1, 2, ((p + 1) // 2, p // 2))


def strided(x, taps, kernel):
    """A filter of odd length, then a convolution of stride 2."""
    p = len(taps) - 2 + len(kernel) - 1
    x = upfirdn(x, np.outer(taps, taps) / np.sum(taps) ** 2, (1, 2), 1, 1, ((p + 1) // 2, p // 2))
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def naive(recorded):
    assert recorded.config == {"factor": 2}
    x = recorded.image("in/x")
    return {"upsample": resample(x, (1, 1), "up"), "downsample": resample(x, (1, 1), "down")}


def general(recorded):
    taps, x = np.asarray(recorded.arrays["in/kernel"], np.float64), recorded.image("in/x")

    def one(up, down, pad):
        # The recorded one puts zeros after the last pixel too.
        return upfirdn(x, taps, (1, 2), up, down, (pad[0], pad[1] + up - 1))

    return {f"y{index}": one(**case) for index, case in enumerate(recorded.config["cases"])}


def norms(recorded):
    params = {name: jnp.asarray(a, jnp.float64) for name, a in reference.subset(recorded.arrays, "param").items()}
    plain = {name: params[name].ravel() for name in ("alpha", "gamma", "beta")}
    table, x = {"embedding": params["embedding"]}, recorded.image("in/x")
    conditional = InstanceNormPlus(True, num_levels=len(table["embedding"]))
    return {
        "InstanceNorm++": InstanceNormPlus(True).apply({"params": plain}, x),
        "ConditionalInstanceNorm++": conditional.apply({"params": table}, x, recorded.arrays["in/y"]),
    }


def embedded(recorded):
    assert recorded.config == {"max_positions": 10000}
    t = jnp.asarray(recorded.arrays["in/t"])
    return {name: positional(t, int(name.removeprefix("dim"))) for name in recorded.outputs}


def kind_of(path, case):
    """The file and the operation."""
    return path, case.partition("-")[0]


@pytest.mark.parametrize(
    ("path", "case"), first_of_a_kind(CASES, kind_of), ids=lambda value: getattr(value, "stem", value)
)
def test_layers(path, case, x64):
    recorded = Recorded(path, case)
    kind = {"naive": naive, "upfirdn": general, "posemb": embedded, "norm": norms}.get(case, filtered)
    found = kind(recorded)
    for name in recorded.outputs:
        if name not in NOT_SERVED:
            recorded.check(found[name], name)
