"""No option of a network is taken and ignored: each changes what is computed, what is learned, or what is accepted."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Literal, get_args, get_origin

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jaxdiff.nets
import jaxdiff.process
from tests.nets.options import ABSTRACT, CONTEXTS, FUNCTIONS, ROWS
from tests.support.expression import expression

LARGE = {
    "Block",
    "DhariwalUNet",
    "Discriminator",
    "Generator",
    "GuidedClassifier",
    "GuidedUNet",
    "InceptionV3",
    "NCSNv2",
    "OneNormBlock",
    "SongUNet",
    "VDMUNet",
}


def defined(*packages):
    """Every class and function of packages, by the module that defines it."""
    for info in (info for p in packages for info in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")):
        module = importlib.import_module(info.name)
        yield from (value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__)


def options_of(net):
    return {field.name for field in dataclasses.fields(net)} - {"parent", "name"}


def outcome(net, inputs, named):
    """The network's outputs and initial parameters as expressions of the inputs, or the line that refuses them."""
    arrays, tree = jax.tree.flatten(inputs)
    traced = [a for a in arrays if isinstance(a, jax.Array)]

    def run(key, given):
        given = iter(given)
        leaves = [next(given) if isinstance(a, jax.Array) else a for a in arrays]
        return net.init_with_output({"params": key, "dropout": key}, *jax.tree.unflatten(tree, leaves), **named)

    try:
        return expression(run, jax.random.key(0), traced)
    except ValueError as error:
        return str(error)


def walked(row):
    net, inputs, named, changes = row
    found = {}
    for option, change in changes.items():
        before, value = change if isinstance(change, tuple) and isinstance(change[0], dict) else ({}, change)
        base = found.setdefault(str(before), outcome(net.clone(**before), inputs, named))
        assert not isinstance(base, str), base
        changed = outcome(net.clone(**before, **{option: value}), inputs, named)
        assert "\n" not in changed, changed
        yield option, base, changed


def name_of(row):
    return type(row[0]).__name__


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=name_of(row), marks=[pytest.mark.full] if name_of(row) in LARGE else []) for row in ROWS],
)
def test_every_option_has_an_effect(row):
    assert [option for option, base, changed in walked(row) if base == changed] == []


@pytest.mark.full
@pytest.mark.parametrize(("kind", "context", "idle"), CONTEXTS, ids=lambda value: getattr(value, "__name__", None))
def test_every_option_has_an_effect_with_others(kind, context, idle):
    net, inputs, named, changes = next(row for row in ROWS if type(row[0]) is kind)
    others = {option: change for option, change in changes.items() if option not in context}
    found = walked((net.clone(**context), inputs, named, others))
    assert {option for option, base, changed in found if base == changed} == idle


CHOICES = [
    pytest.param(row, option, id=f"{name_of(row)}-{option}")
    for row in ROWS
    for option, hint in ((field.name, field.type) for field in dataclasses.fields(row[0]))
    if Literal in {get_origin(part) for part in (hint, *get_args(hint))}
]


@pytest.mark.parametrize(("row", "option"), CHOICES)
def test_a_choice_that_is_none_is_refused(row, option):
    net, inputs, named, _ = row
    with pytest.raises(ValueError, match=f"{option} must be .*nonsense"):
        jax.eval_shape(lambda: net.clone(**{option: "nonsense"}).init(jax.random.key(0), *inputs, **named))


def test_every_option_of_every_network_has_a_row():
    networks = {
        value
        for value in defined(jaxdiff.nets, jaxdiff.process)
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    assert networks == {type(net) for net, *_ in ROWS} | ABSTRACT
    for net, _, _, changes in ROWS:
        assert options_of(net) == set(changes), type(net)
    for frame in ABSTRACT:
        assert any(issubclass(type(net), frame) for net, *_ in ROWS)


class Call(nn.Module):
    """A function inside a network; an initialiser that it returns is called, a module is taken as it is."""

    function: Callable
    arguments: tuple
    options: dict

    @nn.compact
    def __call__(self):
        made = self.function(*self.arguments, **self.options)
        if isinstance(made, nn.Module):
            return jnp.frombuffer(repr(made).encode(), jnp.uint8)
        return made(jax.random.key(0), (2, 2)) if callable(made) else made


@pytest.mark.parametrize(
    ("function", "arguments", "changes"), FUNCTIONS, ids=lambda value: getattr(value, "__name__", "")
)
def test_every_option_of_a_function_has_an_effect(function, arguments, changes):
    calls = {option: Call(function, arguments, {option: value}) for option, value in changes.items()}
    base = outcome(Call(function, arguments, {}), (), {})
    assert [option for option, call in calls.items() if outcome(call, (), {}) == base] == []


def test_every_option_of_every_function_has_a_row():
    rows = {function: set(changes) for function, _, changes in FUNCTIONS}
    for value in defined(jaxdiff.nets):
        if inspect.isfunction(value) and not value.__name__.startswith("_"):
            parameters = inspect.signature(value).parameters.values()
            options = {parameter.name for parameter in parameters if parameter.default is not parameter.empty}
            assert options == rows.get(value, set()), value


class Idle(nn.Module):
    """Takes an option, and even computes with it, in vain."""

    scale: float = 1.0

    @nn.compact
    def __call__(self, x):
        x * self.scale
        return nn.Dense(2)(x)


def test_an_ignored_option_is_found():
    row = (Idle(), (jnp.zeros((2, 3)),), {}, {"scale": 2.0})
    assert [option for option, base, changed in walked(row) if base == changed] == ["scale"]
