"""Quality, coverage and speed of all systems of the library on the same data: the trilemma of Xiao et al. 2022.

    python -m experiments.trilemma                                  # digits and 25 Gaussians, all rows
    python -m experiments.trilemma --only ddgan-4 edm-heun-18       # some

trains what is missing under --runs, measures a row at a time, and leaves in --workdir: a JSON and a picture of samples
for every row, trilemma.json, trilemma.md and trilemma.png. Interrupt it whenever you like: the same command goes on.
Times are taken of all rows one after another in one process, so that their ratios hold; a row that is added later has
all of them taken anew. To measure a row again, delete its JSON, and timing.json where its network is another.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import jax
from tqdm import tqdm

from experiments.comparison import families, measure, on_digits, on_points, picture, table
from experiments.comparison.families import FAMILIES, FAMILY_OF, ROWS, chosen
from experiments.comparison.rows import Row, Trained
from experiments.harness import allowed, claim, cli, workdir
from jaxdiff.probability_flow import SolverStopped

NOTES = (
    "Seconds are of one process, one row after another, without compilation; of them in the network is what as many "
    "evaluations alone take, less where the slowest sample of a batch decides. Minutes of training hold compilation, "
    "a teacher's before its student's. bits/dim: exact along the flow, for digits of dequantised ones; <= the "
    "variational bound, of the grey values. Digits are drawn by class, but DDGAN's without classes, so without an SVM."
)
DATA: dict[str, ModuleType] = {"digits": on_digits, "25gaussians": on_points}


@dataclass(frozen=True)
class Config:
    """The trilemma, measured."""

    workdir: Path = Path("runs/trilemma")
    """Folder of the table."""
    runs: Path = Path("runs")
    """Where the runs of the experiments lie, or are trained; a smoke run has them in its workdir."""
    only: tuple[str, ...] = ()
    """Rows to make now, by their short names; all where none is given. Those that are made already stay."""
    data: tuple[Annotated[str, cli.one_of(DATA)], ...] = tuple(DATA)
    """Data sets to make now."""
    smoke: bool = False
    """Do everything in seconds with tiny networks, to see that it runs."""
    num_samples: int = 1_000
    """Digits to draw for the metrics of a row; of points ten times as many."""
    batch_size: int = 250
    """Digits drawn at once; of points ten times as many."""
    timing_batch: int = 100
    """Digits drawn at once when time is taken; of points ten times as many."""
    heldout: int = 128
    """Held-out digits, or points, whose bits/dim are measured."""


def smoke(config: Config) -> Config:
    """Return the config of the same path in seconds."""
    small = {"num_samples": 40, "batch_size": 40, "timing_batch": 10, "heldout": 8}
    return replace(config, **small, runs=config.workdir / "runs")  # type: ignore[arg-type]


def check(config: Config) -> dict[str, Row]:
    """Return the chosen rows.

    Raises: ValueError for flags that are out of range.
    """
    allowed.check(config)
    return chosen(config.only)


Shelf = Callable[[str], Trained | None]
"""family -> its trained system; None where a signal stopped its training, or its teacher's."""


def shelf_of(config: Config, data: str) -> Shelf:
    """Return the trained systems of one data set, each read or trained when it is first asked for."""

    @cache
    def trained(family: str) -> Trained | None:
        needed = FAMILIES[family].teacher
        teacher = trained(needed) if needed else None
        if needed and teacher is None:
            return None
        tqdm.write(f"\n{data}: {family}")
        return families.train(data, family, teacher, config.runs, config.smoke)

    return trained


def quality(config: Config, data: str, row: Row, trained: Trained, folder: Path, name: str) -> dict[str, Any]:
    """Measure everything of a row but its time."""
    of_data, factor = DATA[data], DATA[data].FACTOR
    system, sampling = row.plan(trained)
    num, batch = factor * config.num_samples, factor * config.batch_size
    drawn = measure.samples(system, trained.params, sampling, num, batch)
    of_data.picture(folder / f"{name}.png", drawn, trained)
    return {
        "label": row.label,
        "sampler": sampling.name,
        "nfe": measure.evaluations(system, trained.params, sampling, factor * config.timing_batch),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
        "minutes": trained.minutes,
        "minutes_before": trained.before,
        **of_data.metrics(drawn, trained),
        **(bits_per_dim(config, data, row, trained) if row.likelihood else {}),
        **workdir.environment(),
    }


def bits_per_dim(config: Config, data: str, row: Row, trained: Trained) -> dict[str, Any]:
    """Measure bits/dim of held-out data; {} where the flow is too stiff to solve, which says nothing of the samples."""
    try:
        return DATA[data].bits(trained, config.heldout)
    except SolverStopped as error:
        tqdm.write(f"{data}: {row.label} has no bits/dim: {error}")
        return {}


def timings(config: Config, data: str, rows: dict[str, Row], shelf: Shelf) -> dict[str, Any]:
    """Measure seconds of all rows, one after another in this process; {} where a signal stopped one's training."""
    found: dict[str, Any] = {}
    for name, row in rows.items():
        if (trained := shelf(FAMILY_OF[name])) is None:
            return {}
        system, sampling = row.plan(trained)
        taken = measure.timing(trained.params, system, sampling, DATA[data].FACTOR * config.timing_batch)
        found[name] = {"nfe": sampling.nfe, **taken}
        tqdm.write(f"{data}: {row.label}: {found[name]['seconds_per_1000']:.3g} s per 1,000")
    return found


def make(config: Config, data: str, rows: dict[str, Row]) -> bool:
    """Make what is missing of one data set; return whether all of it is there now."""
    folder, shelf = config.workdir / data, shelf_of(config, data)
    folder.mkdir(exist_ok=True)
    if not (folder / "real.json").exists():
        found = DATA[data].real(DATA[data].FACTOR * config.num_samples)
        workdir.write_json(folder / "real.json", {"label": "held-out data", **found})
    for name, row in rows.items():
        if row.timing or (folder / f"{name}.json").exists():
            continue
        if (trained := shelf(FAMILY_OF[name])) is None:
            return False
        workdir.write_json(folder / f"{name}.json", quality(config, data, row, trained, folder, name))
    there = {name: row for name, row in ROWS.items() if (folder / f"{name}.json").exists() or name in rows}
    path = folder / "timing.json"
    if not path.exists() or not set(there) <= set(workdir.read_json(path)):
        if not (times := timings(config, data, there, shelf)):
            return False
        workdir.write_json(path, times)
    return True


def records(folder: Path) -> dict[str, table.Record]:
    """Read the rows of one data set that are there, with their times."""
    times = workdir.read_json(folder / "timing.json")
    found = {"real": workdir.read_json(folder / "real.json")}
    for name, row in ROWS.items():
        if name not in times:
            continue
        path = folder / f"{name}.json"
        record = {"label": row.label, **times[name], **(workdir.read_json(path) if path.exists() else {})}
        share = min(record["nfe"] * record["evaluation_per_1000"] / record["seconds_per_1000"], 1.0)
        found[name] = {**record, "network_share": share}
    return found


def main(config: Config) -> None:
    """Train, measure, print, plot."""
    config = smoke(config) if config.smoke else config
    with cli.bad_input():
        rows = check(config)
    with claim.claimed(config.workdir, claim.Owner("trilemma", replace(config, only=(), data=()))) as folder:
        work(config, rows, folder)


def work(config: Config, rows: dict[str, Row], folder: Path) -> None:
    """Do the same in a folder that is this table's."""
    for data in config.data:
        if not make(config, data, rows):
            return
    tables = {name: records(folder / name) for name in DATA if (folder / name / "timing.json").exists()}
    today = datetime.date.today().isoformat()
    ratios = {name: table.ratios(found) for name, found in tables.items()}
    record = {"date": today, "rows": tables, "ratios": ratios, **workdir.environment()}
    workdir.write_json(folder / "trilemma.json", record)
    versions = f"Python {record['python']}, jax {record['versions']['jax']}"
    parts = [f"{today}, {record['device']}, {record['cpu_cores']} cores, {versions}. {NOTES}"]
    for name, found in tables.items():
        lines = "\n".join(f"- DDGAN, T = 4: {ratio:.3g} x {what}" for what, ratio in ratios[name].items())
        tqdm.write(f"\n{name}\n{table.text(list(found.values()))}\n{lines}")
        parts += [f"**{name}**", table.markdown(list(found.values())), lines]
    (folder / "trilemma.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    picture.draw({name: list(found.values()) for name, found in tables.items()}).savefig(folder / "trilemma.png")
    tqdm.write(f"see {folder}/trilemma.png, trilemma.md and trilemma.json")


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.trilemma")
