"""Write a published EDM model as an Orbax checkpoint. Nothing that the pickle carries is executed.

    python -m experiments.convert --checkpoint edm-cifar10-32x32-cond-vp.pkl --out models/cifar10-cond-vp
    python -m experiments.sample --checkpoint models/cifar10-cond-vp

The published files (https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/) have a licence of their own; they could not be
had where this was written: the reader was tested on files forged in their layout from recorded values.
"""

from dataclasses import dataclass
from pathlib import Path

from experiments.harness import cli
from experiments.systems import published


@dataclass(frozen=True)
class Config:
    """Published model to Orbax checkpoint."""

    checkpoint: Path
    """A published .pkl file."""
    out: Path
    """Folder to write; must be empty or absent."""


def main(config: Config) -> None:
    """Read and write."""
    with cli.bad_input():
        metadata = published.convert(config.checkpoint, config.out)
    print(f"{metadata['class_name']} written to {config.out}")


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.convert")
