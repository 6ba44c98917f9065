"""Published checkpoints, read as data: files to jaxdiff's networks and params. Nothing in a file is ever executed.

One module for the authors of a release, with a loader that takes a path: `edm` (Karras et al.'s pickles), `openai`
(improved and guided diffusion), `consistency` (OpenAI's consistency models), `score_sde` (Song et al., in PyTorch or
Flax), `ddgan` (Xiao et al.), and the weights of metrics, `inception` and `lpips`; `ncsnv2` maps parameters that the
caller has read. `state_dict` maps published names to params, `formats` reads the files, and `fetch` downloads and
checks them. `exported` writes and loads parameters of our own runs, each with a description of its network.

To add a release, write its module: the authors' options as a frozen dataclass, `network(options)`, and the published
name of each parameter for `state_dict.to_params`; then its row in `tests/interop/test_options.py`.
"""

from jaxdiff.interop import (
    consistency,
    ddgan,
    edm,
    exported,
    fetch,
    formats,
    inception,
    lpips,
    ncsnv2,
    openai,
    score_sde,
    state_dict,
)
from jaxdiff.interop.consistency import load_consistency
from jaxdiff.interop.ddgan import load_ddgan
from jaxdiff.interop.edm import load_edm
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.inception import fetch_inception, load_inception
from jaxdiff.interop.lpips import fetch_lpips, load_lpips
from jaxdiff.interop.openai import load_openai
from jaxdiff.interop.score_sde import load_score_sde

__all__ = [
    "CheckpointFormatError",
    "consistency",
    "ddgan",
    "edm",
    "exported",
    "fetch",
    "fetch_inception",
    "fetch_lpips",
    "formats",
    "inception",
    "load_consistency",
    "load_ddgan",
    "load_edm",
    "load_inception",
    "load_lpips",
    "load_openai",
    "load_score_sde",
    "lpips",
    "ncsnv2",
    "openai",
    "score_sde",
    "state_dict",
]
