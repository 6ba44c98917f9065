"""Ranges of numeric flags: by name where many commands share a flag, else by `Annotated` with the field.

A flag's default is always allowed, as a 0 or -1 that stands for a recipe's value is. What two flags allow each other,
and what a network, a data set or a device allows, is checked where that is loaded.
"""

import dataclasses
import inspect
import math
import sys
from typing import Any, NamedTuple


class Span(NamedTuple):
    """From `least` to `most`, both included unless `above` or `below` say otherwise; nan is in none."""

    least: float = -sys.float_info.max
    most: float = sys.float_info.max
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value lies in it."""
        over = value > self.least if self.above else value >= self.least
        return over and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        if self.least == -self.most:
            return "be finite"
        if self.most >= sys.float_info.max:
            return f"be {'above' if self.above else 'at least'} {self.least}"
        return f"lie in {'(' if self.above else '['}{self.least}, {self.most}{')' if self.below else ']'}"


NUMBER = Span()
COUNT = Span(1)
NOT_NEGATIVE = Span(0)
POSITIVE = Span(0, above=True)
SHARE = Span(0, 1)
LESS_THAN_ALL = Span(0, 1, below=True)
LEVELS = Span(2)
ENOUGH = Span(4)  # samples that metrics are computed of


def _each(span: Span, names: str) -> dict[str, Span]:
    return dict.fromkeys(names.split(), span)


ALLOWED: dict[str, Span] = {
    # Training, devices and what is kept.
    **_each(
        COUNT, "steps batch_size accumulate fsdp num_processes log_every checkpoint_every keep_last classifier_steps"
    ),
    **_each(NOT_NEGATIVE, "warmup clip_norm ema_rampup steps_per_dispatch keep_every grid_every profile process_id"),
    **_each(POSITIVE, "learning_rate discriminator_rate ema_halflife"),
    "cooldown": SHARE,
    "decay": SHARE,
    "seed": Span(0, 2**32 - 1),
    # Data and networks.
    **_each(COUNT, "model_channels num_blocks width height depth num_points max_images max_pixels channel_mult"),
    **_each(COUNT, "resolution channels attn_resolutions discriminator_mult"),
    **_each(NOT_NEGATIVE, "latent_dim classes label"),
    **_each(LESS_THAN_ALL, "dropout label_dropout held_out"),
    # Processes and losses.
    **_each(POSITIVE, "embedded sigma_data p_std beta_min beta_max sigma_min sigma_max"),
    "second_sigma": Span(0.002, 80, above=True, below=True),  # between the ends of every consistency function
    **_each(COUNT, "chain_length stages r1_every lpips_side"),
    **_each(LEVELS, "scales first_scales"),
    "p_mean": NUMBER,
    "gamma": NOT_NEGATIVE,
    "target_decay": LESS_THAN_ALL,
    "epsilon": Span(0, 1, above=True, below=True),
    # Sampling and evaluation.
    **_each(COUNT, "num_steps num trials heldout heldout_images timing_batch inception_batch"),
    **_each(ENOUGH, "num_samples"),
    **_each(NOT_NEGATIVE, "s_churn s_min reference_num bootstrap probes"),
    **_each(POSITIVE, "rho s_noise snr tolerance"),
    **_each(SHARE, "eta ddim_eta"),
    "s_max": Span(0, math.inf),
    "guidance": NUMBER,
}


def span_of(config_type: type, name: str) -> Span:
    """Return what a numeric flag may be: as its field is annotated, in its class or the next base, else by its name.

    Raises: KeyError when neither says it.
    Example:
      >>> from typing import Annotated
      >>> @dataclasses.dataclass
      ... class Config:
      ...     halvings: Annotated[int, Span(0, 8)] = 2
      >>> str(span_of(Config, "halvings")), str(span_of(Config, "steps"))
      ('lie in [0, 8]', 'be at least 1')
    """
    for base in config_type.__mro__:
        for declared in getattr(inspect.get_annotations(base).get(name), "__metadata__", ()):
            if isinstance(declared, Span):
                return declared
    return ALLOWED[name]


def check(config: Any) -> None:
    """Raise ValueError, naming the flag, its value and what is allowed, for the first number that is not.

    Example:
      >>> from experiments.edm_digits import Config
      >>> check(Config(steps=-5))
      Traceback (most recent call last):
      ValueError: --steps must be at least 1, got -5
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = [number for number in (value if isinstance(value, tuple) else [value]) if is_number(number)]
        if value == field.default or not numbers:
            continue
        span = span_of(type(config), field.name)
        if not all(span.holds(number) for number in numbers):
            default: Any = field.default
            stands = is_number(default) and not span.holds(default)
            other = f", or {default}, the default" if stands else ""
            raise ValueError(f"{flag(field.name)} must {span}{other}, got {value}")


def flag(field: str) -> str:
    """Return a field's flag.

    Example:
      >>> flag("num_steps")
      '--num-steps'
    """
    return f"--{field.replace('_', '-')}"


def is_number(value: Any) -> bool:
    """Return whether a value is one that a span may hold; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
