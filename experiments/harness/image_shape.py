"""The size, channels and classes of a data set's images, and the shape of a U-Net for them."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from experiments.harness import allowed, datasets, training

LARGEST, FEWEST = 16 * 64 * 64, 4
"""In a smoke run: pixels of a batch, but no fewer images than the groups of a minibatch deviation have."""


@dataclass(frozen=True)
class Fitted:
    """What the data are. A run keeps what was found when it began, and can be drawn from without them."""

    resolution: int = 0
    """Height and width of the images; 0 for the data's."""
    channels: int = 0
    """1 for grey images, 3 for RGB; 0 for the data's."""
    classes: int = -1
    """Classes that a conditional network has; 0 for none, negative for the data's."""


@dataclass(frozen=True)
class Shaped(Fitted):
    """The shape of a U-Net for them."""

    model_channels: int = 0
    """Width of the network; 0 for the recipe's."""
    channel_mult: tuple[int, ...] = ()
    """Width at every resolution, each half the one before, in multiples of model_channels; empty for the recipe's."""
    num_blocks: int = 0
    """Residual blocks at every resolution; 0 for the recipe's."""
    attn_resolutions: tuple[int, ...] = (-1,)
    """Resolutions with self-attention, besides the lowest; -1 for the recipe's."""
    dropout: float = -1.0
    """Probability that an activation is dropped in training; negative for the recipe's."""


class UNet(NamedTuple):
    """A recipe's values for the fields of `Shaped`."""

    model_channels: int
    channel_mult: tuple[int, ...]
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    dropout: float


Data = TypeVar("Data", bound=Any)


def fitted(config: Data) -> Data:
    """Return a config of `Fitted` and `training.Training` whose fields say what its data are.

    Raises: ValueError for a flag out of its range, when there are no such data, or images are not square.
    """
    allowed.check(config)
    if config.resolution and config.channels and config.classes >= 0:
        return config
    found = datasets.describe(config.data)
    height, width, channels = found.shape
    if height != width:
        raise ValueError(
            f"--data {config.data} has images of {width}x{height} pixels, and networks here take squares: python -m "
            f"experiments.dataset --width {min(height, width)} --transform center-crop makes them"
        )
    return replace(
        config,
        resolution=config.resolution or width,
        channels=config.channels or channels,
        classes=found.num_classes if config.classes < 0 else config.classes,
    )


def shaped(config: Data, unet: UNet) -> Data:
    """Fill in a recipe's network where a config of `Shaped` gives none, and fit it.

    Raises: ValueError as `fitted`, and when images cannot be halved as often as the network does it.
    """
    config = fitted(config)
    left = [name for name in UNet._fields if getattr(config, name) == getattr(Shaped, name)]
    config = replace(config, **{name: getattr(unet, name) for name in left})
    factor = 2 ** (len(config.channel_mult) - 1)
    if config.resolution % factor:
        below = config.resolution // factor * factor or factor
        raise ValueError(
            f"--data {config.data} has images of {config.resolution}x{config.resolution} pixels, and the network's "
            f"channel_mult {config.channel_mult} halves them {len(config.channel_mult) - 1} times, so that they must "
            f"be divisible by {factor}: make them {below}x{below} by python -m experiments.dataset --width {below}, "
            "or give a shorter --channel-mult"
        )
    return config


def unet(config: Any) -> dict[str, Any]:
    """Return the fields of a shaped config that a U-Net has by the same names."""
    return {name: getattr(config, name) for name in UNet._fields}


def few(config: Data) -> Data:
    """Reduce a config as `training.smoke`; large images come in small batches, and few are drawn."""
    config = training.smoke(config)
    share = min(LARGEST / (config.batch_size * config.resolution**2), 1)
    num = max(int(config.batch_size * share) // FEWEST * FEWEST, FEWEST)
    return replace(config, batch_size=num, num_samples=max(int(config.num_samples * share), FEWEST))


def smoke(config: Data, model_channels: int = 8, **changes: Any) -> Data:
    """`few`, and a U-Net of one block a resolution, down to 16 pixels or less, of one width, without dropout."""
    resolutions = min(len(config.channel_mult), 2)
    while (size := config.resolution >> resolutions - 1) > 16 and size % 2 == 0:
        resolutions += 1
    shape = UNet(model_channels, (1,) * resolutions, 1, (), 0.0)
    return replace(few(config), **shape._asdict(), **changes)
