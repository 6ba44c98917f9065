"""The trilemma's command: what it leaves, what it does not do twice, its table and picture, and what is refused."""

import contextlib
import io
import json

import jax
import numpy as np
import pytest

from experiments import trilemma
from experiments.comparison import families, on_points, picture, rows, table
from experiments.systems import points
from jaxdiff import gaussian_mixture, grids
from jaxdiff.data import gaussians
from jaxdiff.metrics import modes
from jaxdiff.samplers import heun, sample
from tests.support.commands import called, refused
from tests.support.tiers import RELEASE

ONLY = ("edm-heun-18", "ddgan-4", "pc-2000-on-ddgan")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A smoke run of some rows on points, and what it said."""
    folder = tmp_path_factory.mktemp("trilemma") / "table"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        called("trilemma", "--smoke", "--data", "25gaussians", "--only", *ONLY, "--workdir", folder)
    return folder, said.getvalue()


def test_smoke_leaves_the_table_and_the_picture(made):
    folder, said = made
    found = json.loads((folder / "trilemma.json").read_text())
    rows = found["rows"]["25gaussians"]
    assert set(rows) == {"real", *ONLY}
    assert (rows["edm-heun-18"]["nfe"], rows["ddgan-4"]["nfe"], rows["pc-2000-on-ddgan"]["nfe"]) == (35, 4, 2_000)
    assert all(rows[name]["seconds_per_1000"] > 0 and 0 < rows[name]["network_share"] <= 1 for name in ONLY)
    assert {"frechet", "precision", "recall", "modes", "minutes"} <= set(rows["ddgan-4"])
    quick, slow = (rows[name]["seconds_per_1000"] for name in ("ddgan-4", "pc-2000-on-ddgan"))
    assert found["ratios"]["25gaussians"]["as fast as PC-2000, on the same network"] == pytest.approx(slow / quick)
    assert "DDGAN T = 4" in said
    assert (folder / "trilemma.md").read_text().count("\n| ") == 5
    assert (folder / "trilemma.png").stat().st_size > 10_000


def test_nothing_is_done_twice(made, monkeypatch):
    folder, _ = made
    config = trilemma.Config(workdir=folder, smoke=True, data=("25gaussians",), only=ONLY)

    def times():
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if not path.name.startswith("trilemma.")}

    before = times()
    monkeypatch.setattr(families, "train", lambda *_: pytest.fail("trained again"))
    trilemma.main(config)
    trilemma.main(trilemma.Config(workdir=folder, smoke=True, data=("25gaussians",), only=ONLY[:1]))
    assert times() == before


def test_a_new_row_takes_all_times_anew_and_leaves_the_others(made, tmp_path):
    folder, _ = made
    kept = (folder / "25gaussians" / "edm-heun-18.json").stat().st_mtime_ns
    timed = json.loads((folder / "25gaussians" / "timing.json").read_text())
    trilemma.main(trilemma.Config(workdir=folder, smoke=True, data=("25gaussians",), only=("edm-dpmpp-4",)))
    again = json.loads((folder / "25gaussians" / "timing.json").read_text())
    assert set(again) == {*ONLY[:2], "edm-dpmpp-4"}
    assert again["edm-heun-18"] != timed["edm-heun-18"]
    assert (folder / "25gaussians" / "edm-heun-18.json").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("data", "only"),
    [
        pytest.param("digits", ("edm-heun-18", "ddim-50", "ode", "sct", "ddgan-4"), marks=pytest.mark.full),
        pytest.param("25gaussians", tuple(families.ROWS), marks=RELEASE),
    ],
    ids=["digits", "25gaussians"],
)
def test_rows(data, only, tiny_networks, tmp_path):
    """All on points; on digits one of every family of systems, with the tiny networks."""
    trilemma.main(trilemma.Config(workdir=tmp_path / "run", smoke=True, data=(data,), only=only))
    rows = json.loads((tmp_path / "run" / "trilemma.json").read_text())["rows"][data]
    assert set(rows) == {"real", *only}
    assert all(row["nfe"] > 0 and row["seconds_per_1000"] > 0 for name, row in rows.items() if name != "real")
    with_bits = {name for name, row in rows.items() if "bits_per_dim" in row}
    assert with_bits >= {"edm-heun-18", "ode"}


RECORDS = [
    {"label": "data", "frechet": 0.5, "recall": 0.9, "modes": 10},
    {"label": "slow", "nfe": 2_000, "seconds_per_1000": 500.0, "frechet": 17.0, "recall": 0.8, "modes": 10,
     "bits_per_dim": 2.911, "bits": "elbo", "minutes": 3.25, "minutes_before": 2.0, "parameters": 749_089},
    {"label": "timed only", "nfe": 2_000, "seconds_per_1000": 400.0, "network_share": 0.973},
]  # fmt: skip


def test_cells_are_empty_where_nothing_was_measured():
    head, data, slow, timed = table.cells(RECORDS)
    row = dict(zip(head, slow, strict=True))
    assert row["bits/dim"] == "<= 2.911"
    assert row["training, min"] == "2.0 + 3.2"
    assert row["parameters"] == "749,089"
    assert dict(zip(head, timed, strict=True))["of it in the network"] == "97 %"
    assert dict(zip(head, data, strict=True))["NFE"] == ""
    assert "SVM" not in head


def test_text_and_markdown_have_a_line_a_row():
    assert len(table.text(RECORDS).splitlines()) == 4
    lines = table.markdown(RECORDS).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 5


def test_the_picture_takes_incomplete_rows(tmp_path):
    picture.draw({"digits": RECORDS, "25gaussians": []}).savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_ratios_are_of_what_is_there():
    found = table.ratios(
        {
            "ddgan-4": {"seconds_per_1000": 2.0, "frechet": 30.0},
            "pc-2000": {"seconds_per_1000": 500.0},
            "edm-dpmpp-4": {"frechet": 15.0},
        }
    )
    assert list(found.values()) == [250.0, 2.0]
    assert table.ratios({}) == {}


def test_minutes_are_those_of_all_resumptions(tmp_path):
    lines = [{"step": 50, "images_per_second": 10.0}, {"step": 100, "images_per_second": 20.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rows.minutes(tmp_path, batch_size=12) == pytest.approx((50 * 12 / 10 + 50 * 12 / 20) / 60)


def test_exact_points_are_scored_as_data():
    """The flow of the true denoiser has the mixture's own density, on the scale of the data."""
    scaled = gaussian_mixture.scaled(gaussians.grid(), points.SCALE)
    system = points.edm_system(points.Config())._replace(
        denoiser=lambda params, labels: lambda x, sigma: gaussian_mixture.denoiser(scaled, x, sigma)
    )
    trained = rows.Trained(system, None, points.Config(), 0.0, scale=points.SCALE)
    known = on_points.real(64)["bits_per_dim"]
    assert on_points.bits(trained, 64)["bits_per_dim"] == pytest.approx(known, abs=0.02)


@pytest.fixture(scope="module")
def exact():
    """Share of good points by 18 Heun steps of the exact denoiser, between two levels."""
    scaled, means = gaussian_mixture.scaled(gaussians.grid(), points.SCALE), np.asarray(gaussians.grid().means)

    def share(sigma_min, sigma_max):
        grid = grids.karras(18, sigma_min, sigma_max)
        x = grid[0] * jax.random.normal(jax.random.key(0), (4_000, 2))
        drawn = jax.jit(
            lambda x: sample(heun(), lambda x, sigma: gaussian_mixture.denoiser(scaled, x, sigma), x, grid)
        )(x)
        return modes.mixture_coverage(np.asarray(drawn) / points.SCALE, means, gaussians.STD).high_quality

    return share


def test_levels_suit_the_points(exact):
    """What `points` says of its levels: 18 steps between them can do what is asked of a network."""
    ours, papers = exact(points.SIGMA_MIN, points.SIGMA_MAX), exact(0.002, 80.0)
    assert ours > 0.98
    assert papers < ours - 0.01


def test_new_points_go_on_where_they_stopped():
    stream = points.Stream(8, seed=3)
    next(stream)
    there, expected = stream.get_state(), next(stream)
    again = points.Stream(8, seed=3)
    again.set_state(there)
    np.testing.assert_array_equal(next(again)["image"], expected["image"])
    assert np.abs(expected["image"]).max() < 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--only", "edm", "ddgan-4"], "only has unknown rows edm; known are edm-heun-18"),
        (["--data", "cifar10"], "cifar10"),
        (["--num-samples", "3"], "--num-samples must be at least 4, got 3"),
        (["--timing-batch", "0"], "--timing-batch must be at least 1, got 0"),
    ],
)
def test_bad_flags_are_refused(flags, says, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "run"
    assert says in refused("trilemma", [*flags, "--workdir", folder], monkeypatch, capfd)
    assert not folder.exists()


def test_a_folder_of_something_else_is_refused(smoke_run, tmp_path, monkeypatch, capfd):
    assert "experiment='edm_digits'" in refused("trilemma", ["--workdir", smoke_run[0]], monkeypatch, capfd)
    (tmp_path / "letter.txt").write_text("dear")
    assert "not empty" in refused("trilemma", ["--workdir", tmp_path], monkeypatch, capfd)
