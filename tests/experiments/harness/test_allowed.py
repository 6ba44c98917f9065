"""Every number that any command takes has a range, and what is outside it is refused by the flag's name."""

import dataclasses
import importlib
import math
import pkgutil
import typing

import pytest

import experiments
from experiments.harness import allowed, cli
from tests.support.commands import refused

COMMANDS = {
    info.name: module.Config
    for info in pkgutil.iter_modules(experiments.__path__)
    if dataclasses.is_dataclass(getattr(module := importlib.import_module(f"experiments.{info.name}"), "Config", None))
}


def kinds(declared):
    """Types in a declaration such as tuple[int, ...] | None."""
    inner = typing.get_args(declared)
    return {kind for part in inner for kind in kinds(part)} if inner else {declared}


def numbers(config_type):
    """(field, type) of a command's numeric flags."""
    declared = typing.get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        if found := kinds(declared[field.name]) & {int, float}:
            yield field, found.pop()


def outside(span, kind):
    """The nearest numbers that a span does not hold."""
    step = 1 if kind is int else 1e-3
    low = span.least if span.above else span.least - step
    high = span.most if span.below else span.most + step
    ends = [end for end in (low, high) if math.isfinite(end) and abs(end) < 2**53]
    return ends if kind is int else [*ends, math.nan, -math.inf]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_of_a_command_has_a_range(command):
    config_type, seen = COMMANDS[command], 0
    required = {f.name: "x" for f in dataclasses.fields(config_type) if f.default is dataclasses.MISSING}
    allowed.check(config_type(**required))
    for field, kind in numbers(config_type):
        span = allowed.span_of(config_type, field.name)
        for wrong in outside(span, kind):
            if wrong == field.default:
                continue  # it stands for a recipe's
            given = (wrong,) if isinstance(field.default, tuple) else wrong
            with pytest.raises(ValueError, match=f"--{field.name.replace('_', '-')} must (be|lie)"):
                allowed.check(config_type(**required, **{field.name: given}))
            seen += 1
        if math.isfinite(span.least) and not span.above and abs(span.least) < 2**53:
            allowed.check(config_type(**required, **{field.name: kind(span.least)}))
    assert seen or command in ("convert", "trilemma", "dataset", "export"), "a command without numbers"


@pytest.mark.parametrize(
    ("module", "flags", "says"),
    [
        ("edm_digits", ["--steps", "-5"], "--steps must be at least 1, got -5"),
        ("edm_cifar", ["--steps", "-5"], "--steps must be at least 1, or 0, the default, got -5"),
        ("edm_digits", ["--learning-rate", "0"], "--learning-rate must be above 0, got 0.0"),
        ("edm_digits", ["--num-blocks", "0"], "--num-blocks must be at least 1, got 0"),
        ("ddpm_digits", ["--dropout", "2"], "--dropout must lie in [0, 1), got 2.0"),
        ("score_sde_digits", ["--snr", "nan"], "--snr must be above 0, got nan"),
        ("ddgan_cifar", ["--gamma", "-2"], "--gamma must be at least 0, or -1, the default, got -2.0"),
        ("sample", ["--guidance", "inf"], "--guidance must be finite, got inf"),
        ("trilemma", ["--heldout", "0"], "--heldout must be at least 1, got 0"),
        ("edm_digits", ["--step", "3"], "--step, 3: did you mean --steps or --steps-per-dispatch?"),
        ("sample", ["--seads", "3"], "--seads, 3: did you mean --seeds?"),
        ("edm_cifar", ["--nonsense"], "Unrecognized options: --nonsense"),
        ("evaluate", ["--sample_s", "3"], "did you mean --samples?"),
    ],
)
def test_the_line_names_the_flag(module, flags, says, tmp_path, monkeypatch, capfd):
    workdir = tmp_path / "run"
    assert refused(module, [*flags, "--workdir", workdir], monkeypatch, capfd).endswith(says)
    assert not workdir.exists()


def test_a_flag_like_no_other_has_no_suggestion():
    with pytest.raises(cli.InputError, match=r"^Unrecognized options: --xyzw, 3$"):
        cli.parse(COMMANDS["sample"], ["--xyzw", "3"], prog="sample")
