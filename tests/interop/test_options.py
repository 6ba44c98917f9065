"""No option of a published model is taken and ignored: each changes the network or the process, or is refused.

That the options of networks have an effect is shown in tests/nets/test_options.py.
"""

import dataclasses
import importlib
import inspect
import pkgutil
from dataclasses import replace
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

import jaxdiff.interop
from jaxdiff.interop import consistency, ddgan, openai, score_sde

RESULTS = {"EdmCheckpoint", "Part"}
"""Dataclasses that are no options."""


def diffusion(flags):
    """All that improved-diffusion's flags describe."""
    betas, steps, preconditioning = openai.trained_process(flags)
    values = float(preconditioning.c_noise(1e9)), float(preconditioning.c_out(2.0))
    return openai.network(flags), openai.objective_of(flags), betas, steps, values


# (options with which every part is there, what is made of them, those without an effect on that)
READERS = {
    "ddgan": (ddgan.Options(progressive_input="input_skip"), ddgan.network, {"num_timesteps"}),  # the caller's
    "score_sde": (score_sde.Options(fir=True, progressive_input="input_skip"), score_sde.network, set()),
    "score_sde ddpm": (score_sde.DDPM, score_sde.network, set()),
    "openai": (openai.Flags(class_cond=True, diffusion_steps=4000), diffusion, set()),
    "openai classifier": (openai.ClassifierFlags(), openai.network, set()),
    # The release has one package and one order, whatever its flags say.
    "consistency": (consistency.IMAGENET_64, consistency.network, {"package", "use_new_attention_order"}),
}
SIZES, TEXTS = {32: 64}, {"timestep_respacing": ["ddim50"], "channel_mult": ["1,2,2"]}


def literals(options):
    return {
        field.name: get_args(field.type) for field in dataclasses.fields(options) if get_origin(field.type) is Literal
    }


def others(options, name):
    """Other values that an option may have."""
    value = getattr(options, name)
    if name in literals(options):
        return [choice for choice in literals(options)[name] if choice != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return TEXTS.get(name, ["4,2"])
    if isinstance(value, tuple):
        return [(*value, 2 * value[-1])]
    return [SIZES.get(value, 32) if name == "image_size" else 2 * value if value > 0 else 32]


def made(make, options):
    """What is made of the options, or the line that refuses them."""
    try:
        return make(options)
    except ValueError as error:
        return str(error)


def same(a, b):
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("reader", READERS)
def test_every_option_has_an_effect(reader):
    options, make, idle = READERS[reader]
    base, ignored = make(options), set()
    for name in (field.name for field in dataclasses.fields(options)):
        for value in others(options, name):
            changed = made(make, replace(options, **{name: value}))
            assert not isinstance(changed, str) or (name in changed and "\n" not in changed), changed
            ignored |= {name} if same(base, changed) else set()
    assert ignored == idle


@pytest.mark.parametrize("reader", READERS)
def test_a_choice_that_is_none_is_refused(reader):
    options, make, _ = READERS[reader]
    assert literals(options)
    for name in literals(options):
        with pytest.raises(ValueError, match=f"{name} must be .*nonsense"):
            make(replace(options, **{name: "nonsense"}))


@pytest.mark.parametrize("reader", ["ddgan", "score_sde"])
@pytest.mark.parametrize("taps", [((1, 2), (2, 1)), (1, 2, 1), (), (1, -1)])
def test_filters_that_networks_do_not_take_are_refused(reader, taps):
    options, make, _ = READERS[reader]
    with pytest.raises(ValueError, match="fir_kernel must be a flat sequence of an even number of taps"):
        make(replace(options, fir_kernel=taps))


@pytest.mark.parametrize("name", consistency.PROCESS_FLAGS)
def test_a_consistency_model_has_no_diffusion_process(name):
    options = replace(consistency.IMAGENET_64, **{name: others(consistency.IMAGENET_64, name)[0]})
    with pytest.raises(ValueError, match=f"{name} must be left out"):
        consistency.network(options)


def test_all_options_are_walked():
    names = [info.name for info in pkgutil.walk_packages(jaxdiff.interop.__path__, "jaxdiff.interop.")]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    found = {value for value in values if inspect.isclass(value) and dataclasses.is_dataclass(value)}
    options = {kind for kind in found if kind.__module__ in names and kind.__name__ not in RESULTS}
    assert options == {type(row[0]) for row in READERS.values()}
