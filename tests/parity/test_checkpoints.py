"""Official checkpoints, reassembled in their published layout from recorded values, loaded and run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.edm import load_edm
from jaxdiff.precond import denoiser, leading_channels
from jaxdiff.samplers import churn, heun, sample
from tests.parity.edm_networks import levels, sampler_options
from tests.support import forge, reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import first_of_a_kind

READS = ("edm/ckpt_*.npz",)
FILES = reference.files(*READS)


def published(arrays, path):
    """The pickle that the recorded values came from, with a harmless text for its source code."""
    meta = {
        name: json.loads(str(value))
        for name, value in reference.subset(arrays, "meta").items()
        if value.dtype.kind == "U" and value.ndim == 0
    }
    parts = {
        "loss_fn": meta["loss_state"],
        "augment_pipe": meta["augment_state"],
        "dataset_kwargs": meta["dataset_kwargs"],
    }
    others = {name: parts.get(name) for name in arrays["meta/pickle_keys"].tolist() if name != "ema"}
    for name in ("loss_fn", "augment_pipe"):
        if others[name] is not None:
            others[name] = forge.persistent(others[name].pop("cls", "AugmentPipe"), others[name])
    buffers, parameters = reference.subset(arrays, "buffer"), reference.subset(arrays, "param")
    path.write_bytes(forge.edm(parameters, buffers, reference.config(arrays)["cls"], meta["init_kwargs"], **others))
    return path


def recorded_denoiser(path, tmp_path):
    """(arrays, denoise(**labels), the recorded labels, what was loaded); compiled once for labels of one shape."""
    arrays = reference.load(path)
    loaded = load_edm(published(arrays, tmp_path / "model.pkl"))
    net, params, preconditioning, _ = loaded
    x, sigma = nhwc(arrays["in/x"]), jnp.asarray(arrays["in/sigma"], jnp.float64)
    labels = {
        name: jnp.asarray(value, jnp.float64)
        for name, value in reference.subset(arrays, "in").items()
        if name.endswith("_labels")
    }
    apply = jax.jit(leading_channels(net.apply))
    return arrays, lambda **given: denoiser(apply, params, preconditioning, **given)(x, sigma), labels, loaded


LEFT_OUT = {"D_no_labels": "class_labels", "D_no_augment": "augment_labels"}


@pytest.mark.parametrize("path", FILES, ids=reference.ids)
def test_denoiser(path, x64, tmp_path):
    arrays, denoise, labels, (_, _, preconditioning, metadata) = recorded_denoiser(path, tmp_path)
    close(nchw(denoise(**labels)), arrays["out/D"])
    for name, left_out in LEFT_OUT.items():
        if f"out/{name}" in arrays:  # zeros here, None in test_left_out_labels
            close(nchw(denoise(**labels | {left_out: 0 * labels[left_out]})), arrays[f"out/{name}"])
    # The official VP limits are roots of e^v - 1 in float32, which has an error of 2^-24 whatever v is.
    ours = np.square([preconditioning.sigma_min, preconditioning.sigma_max])
    theirs = np.square([arrays["meta/sigma_min"], arrays["meta/sigma_max_nonfinite_ok"]])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2**-23)
    assert metadata["class_name"] == reference.config(arrays)["cls"]
    assert metadata["dataset_kwargs"] == json.loads(str(arrays["meta/dataset_kwargs"]))


@pytest.mark.full
@pytest.mark.parametrize("path", FILES, ids=reference.ids)
def test_left_out_labels(path, x64, tmp_path):
    arrays, denoise, labels, _ = recorded_denoiser(path, tmp_path)
    for name, left_out in LEFT_OUT.items():
        if f"out/{name}" in arrays:
            given = {label: value for label, value in labels.items() if label != left_out}
            close(nchw(denoise(**given)), arrays[f"out/{name}"])


@pytest.mark.parametrize("path", first_of_a_kind(FILES, lambda path: "any checkpoint"), ids=reference.ids)
def test_samples(path, x64, tmp_path):
    arrays = reference.load(path)
    net, params, preconditioning, _ = load_edm(published(arrays, tmp_path / "model.pkl"))
    config = reference.only(reference.config(arrays, "sample"), "kwargs", kind=("edm_sampler",))
    options, churned = sampler_options(config["kwargs"])
    latents = nhwc(arrays["sample/in/latents"])
    cond = {}
    if "in/class_labels" in arrays:
        cond["class_labels"] = jnp.asarray(arrays["in/class_labels"][: len(latents)], jnp.float64)
    denoise = denoiser(leading_channels(net.apply), params, preconditioning, **cond)
    sigmas = levels(options, preconditioning.sigma_min, preconditioning.sigma_max)
    sigmas[:-1] = [preconditioning.round_sigma(sigma) for sigma in sigmas[:-1]]
    sampler, noise = heun(), None
    if churned.get("s_churn", 0) > 0:
        sampler = churn(heun(), **churned, round_sigma=preconditioning.round_sigma)
        noise = (nhwc(arrays["sample/in/noise"]), ())
    close(nchw(sample(sampler, denoise, sigmas[0] * latents, sigmas, noise=noise)), arrays["sample/out/final"])
