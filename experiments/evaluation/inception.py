"""The 50,000-image protocol: draw what is missing, embed it with InceptionV3, compare with real images, report."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
from numpy.typing import NDArray

from experiments.evaluation import inception_features, inception_metrics, sample_cache
from experiments.evaluation.inception_features import SHARD, Extract, Reference
from experiments.evaluation.inception_metrics import METRICS, Stored
from experiments.harness import generate, runs, shards
from experiments.harness.system import System
from jaxdiff.interop.fetch import Published
from jaxdiff.interop.inception import WEIGHTS, fetch_inception, load_inception
from jaxdiff.metrics.inception import extractor
from jaxdiff.train import sharding

NUM = 50_000


@dataclass(frozen=True)
class Options:
    """Options of the evaluation by InceptionV3."""

    workdir: Path
    """Folder of the run; its report.json gets the metrics."""
    samples: Path | None = None
    """Images to evaluate, by default WORKDIR/samples.npz, in this library's form or in ADM's (arr_0, arr_1); metrics of
    another file go to report.json as well. With --metrics, by default new images."""
    metrics: str = ""
    """Some of fid,kid,pr,is, by InceptionV3; without it, metrics of pixels."""
    num: int | None = None
    """metrics: images, of seeds 0 to num - 1; by default 50,000, or all of --samples."""
    trials: int = 1
    """metrics: so many times num images, of seeds that follow on each other; FID is the lowest. EDM has 3."""
    inception: Path | None = None
    """metrics: the published weights, pt_inception-2015-12-05-6726825d.pth."""
    inception_sha256: str = WEIGHTS.sha256
    """metrics: of the weights; give it for another file, whose features are then not those of papers."""
    download: bool = False
    """metrics: download the weights to --inception where they are not there."""
    reference: Path | None = None
    """metrics: an .npz to compare with, by default the run's training data. For fid it has statistics (mu and sigma, or
    features pool_3) or images (images or arr_0), for kid and pr images; ADM's have both."""
    reference_num: int = 0
    """metrics: images to compare with, from the first of the training data or of --reference; 0 takes all."""
    num_steps: int | None = None
    """metrics: sampling steps; without it, the run's own number."""
    batch_size: int = 256
    """metrics: images drawn at once."""
    inception_batch: int = 64
    """metrics: images that InceptionV3 embeds at once, over all devices."""
    bootstrap: int = 20
    """metrics: resamples for the errors of fid and is; 0 leaves them out."""


class Images(NamedTuple):
    """What is evaluated: how many images a trial, the features of some of them, and what report.json says of them."""

    num: int
    features: Callable[[Sequence[range]], Stored]
    about: dict[str, Any]


def prepare(options: Options) -> Callable[[], dict[str, Any]]:
    """Find everything that can be wrong, before anything is drawn.

    Returns: a function that does the work and gives what report.json gets.
    Raises: ValueError, OSError.
    """
    names = check(options)
    run_config, system = runs.of_images(options.workdir)
    home, digest = options.workdir / "evaluation", options.inception_sha256.lower()
    network = f"features-{digest[:8]}"
    real = inception_features.compared(options.reference, names, run_config, system)
    num_real = min(options.reference_num or len(real.source), len(real.source)) if real.source else 0
    given = generate.read(options.samples)[0] if options.samples else None
    if options.download and options.inception:
        params = fetch_inception(options.inception, Published(WEIGHTS.url, digest))
    else:
        params = load_inception(options.inception, digest)
    extract = extractor(
        params, batch_size=options.inception_batch, sharding=sharding.batch_sharding(sharding.data_mesh())
    )
    if options.samples and given is not None:
        images = of_file(options.samples, given, options.num, home, network, extract)
    else:
        images = of_run(options, run_config, system, home, network, extract)
    check_num(names, images.num)

    def reference() -> Reference:
        return inception_features.of_compared(real, num_real, home, network, extract, "fid" in names)

    return lambda: work(options, names, images, reference) | {"weights_sha256": digest}


def work(options: Options, names: Sequence[str], images: Images, reference: Callable[[], Reference]) -> dict[str, Any]:
    """Measure every trial's metrics, the lowest FID, the means of the others."""
    real = reference()
    trials, seeds = [], []
    for first in range(0, images.num * options.trials, images.num):
        stored = images.features(shards.spans(first, first + images.num, SHARD))
        trials.append(inception_metrics.measure(names, stored, real.statistics, real.features, options.bootstrap))
        seeds.append(f"{first}-{first + images.num - 1}")
    return {
        "metrics": inception_metrics.combine(trials),
        "trials": [{"images": span, **found} for span, found in zip(seeds, trials, strict=True)],
        "num": images.num,
        "reference": real.name,
        "reference_num": real.num,
        "bootstrap": options.bootstrap,
        **images.about,
    }


def of_run(options: Options, run_config: Any, system: System, home: Path, network: str, extract: Extract) -> Images:
    """Return images that the run draws with its own sampler."""
    params, step = runs.averaged_params(run_config, system)
    sampling = system.sampling(run_config.num_steps if options.num_steps is None else options.num_steps)
    place = home / sample_cache.identity(params, step, sampling)

    def features(parts: Sequence[range]) -> Stored:
        made = place / "images"
        sample_cache.draw_missing(made, parts, system, params, sampling, options.batch_size)
        return inception_features.embed(
            place / network, parts, lambda span: shards.load(made, span, "images"), extract, "samples"
        )

    about = {"step": step, "sampler": sampling.name, "nfe": sampling.nfe, "folder": str(place)}
    return Images(NUM if options.num is None else options.num, features, about)


def of_file(path: Path, given: NDArray, num: int | None, home: Path, network: str, extract: Extract) -> Images:
    """Return images of a samples.npz, from the first.

    Raises: ValueError when there are fewer.
    """
    images = given[:num]
    if num is not None and len(images) < num:
        raise ValueError(f"{path} holds {len(images)} images, fewer than num={num}")
    place = home / f"samples-{hashlib.sha256(images.tobytes()).hexdigest()[:8]}" / network

    def features(parts: Sequence[range]) -> Stored:
        return inception_features.embed(place, parts, lambda span: images[span.start : span.stop], extract, path.name)

    return Images(len(images), features, {"samples": str(path), "folder": str(place.parent)})


def check(options: Options) -> tuple[str, ...]:
    """Return the metrics' names, once the numbers among the flags make sense.

    Raises: ValueError naming the flag.
    """
    names = inception_metrics.parse(options.metrics)
    if options.num is not None:
        check_num(names, options.num)
    if options.reference_num and (compared := [name for name in names if METRICS[name].compares]):
        check_num(compared, options.reference_num, "reference_num")
    if options.trials < 1 or options.batch_size < 1 or options.bootstrap < 0 or options.bootstrap == 1:
        raise ValueError(
            "trials and batch_size must be at least 1, and bootstrap 0 or at least 2, got "
            f"{options.trials}, {options.batch_size}, {options.bootstrap}"
        )
    if options.samples and options.trials > 1:
        raise ValueError(f"samples are one trial, got trials={options.trials}")
    if jax.process_count() > 1:
        raise ValueError(f"evaluation runs in one process over its devices, got {jax.process_count()} processes")
    return names


def check_num(names: Sequence[str], num: int, flag: str = "num") -> None:
    """Raise ValueError unless there are as many images as the metrics need."""
    name = max(names, key=lambda name: METRICS[name].least)
    if num < (least := METRICS[name].least):
        raise ValueError(f"{flag} must be at least {least} for {name}, got {num}")
