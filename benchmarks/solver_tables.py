"""Tables and the picture of what `benchmarks.solver_error` found."""

from pathlib import Path
from typing import Any

from benchmarks.solver_rows import FEW, MANY
from benchmarks.tables import Found, table

COMMAND = "python -m benchmarks.solver_error --plot docs/img/solver_error.png"
ERROR = """\
Data are a mixture of eight Gaussians of standard deviation 0.05 on a ring of radius 1, whose denoiser has a closed
form, so that what is left is the sampler's own error. A column is a budget: a sampler takes as many steps as fit into
so many evaluations; "-" where it needs more steps (VP's chain needs more than 20). Distances are in units of the
data. Grids: `karras` (rho = 7), `ve` and `vp` from 80 to 0.002; `chain` is DDPM's 1,000 linear betas, evenly respaced;
`sde` is equal steps in the time of that SDE. All start from the same noise. float64.

![Error against evaluations](../img/solver_error.png)"""
FLOW = "Root mean square distance of a sample from the end of the exact flow through its own noise."
LAW = """\
Sliced Wasserstein-1 distance of the samples from the mixture. Deterministic samplers map one and the same noise, so
that their last digits compare; stochastic ones that are as near as exact draws cannot be told apart."""
FEW_STEPS = """\
The same distance where a network that learned large steps is asked, exactly: `consistency` asks for the end of the
trajectory, `ddgan` for a draw of x0 given x. Both are then exact in one evaluation, up to sampling noise: what real
networks lose, they lose by not having learned it. `euler`, which asks the denoiser, is here to compare."""
ADAPTIVE = "`adaptive(vp(), tolerance)`, Dopri5 with relative and absolute tolerance alike."

SHOWN = {
    ("euler()", "karras"): "tab:blue",
    ("heun()", "karras"): "tab:orange",
    ("dpm_2()", "karras"): "tab:brown",
    ("dpmpp_2m()", "karras"): "tab:green",
    ("dpmpp_2m()", "ve"): "tab:olive",
    ("dpmpp_2m()", "sde VE"): "black",
    ("ddim(1.0)", "karras"): "tab:red",
    ("ancestral()", "chain"): "tab:purple",
    ("churn(heun(), 40, 0.05, 50, 1.003)", "karras"): "tab:pink",
    ("langevin(predictor(ve(), reverse_diffusion), ve())", "sde VE"): "tab:cyan",
}
"""Rows of the picture, and their colours."""


def _cells(row: Found, quantity: str, counts: tuple[int, ...]) -> list[str]:
    """One number for each count; "-" where the sampler cannot take so few steps."""
    found = {m["at_most"]: f"{m[quantity]:.2g}" for m in row["measured"]}
    return [f"`{row['sampler']}`", row["grid"], *(found.get(count, "-") for count in counts)]


def _of(found: Found, counts: tuple[int, ...]) -> list[Found]:
    """Rows that were measured at these numbers of evaluations."""
    return [row for row in found["rows"] if {m["at_most"] for m in row["measured"]} <= set(counts)]


def flow(found: Found) -> str:
    """Write how far samples are from the end of the exact flow through their noise."""
    rows = [row for row in _of(found, MANY) if not row["stochastic"]]
    exact = f"The solution taken as exact is {found['exact_error']:.0e} from one by twice as many steps."
    return f"{exact}\n\n" + table(["sampler", "grid", *map(str, MANY)], [_cells(row, "rms", MANY) for row in rows])


def law(found: Found) -> str:
    """Write how far the samples of each sampler are from the exact mixture."""
    floor = found["floor"]
    noise = f"{found['points']:,} exact draws are {floor['mean']:.2g} away on average, {floor['largest']:.2g} at most."
    rows = [_cells(row, "distance", MANY) for row in _of(found, MANY)]
    return f"{noise}\n\n" + table(["sampler", "grid", *map(str, MANY)], rows)


def few(found: Found) -> str:
    """Write the same at a few evaluations, where the model that is asked decides."""
    rows = [(row["network"], _cells(row, "distance", FEW)) for row in _of(found, FEW)]
    return table(["asks", "sampler", "grid", *map(str, FEW)], [[network, *cells] for network, cells in rows])


def adaptive(found: Found) -> str:
    """Write evaluations and errors of the adaptive solver by its tolerance."""
    head = ["tolerance", "evaluations, mean", "of the slowest", "from the exact flow", "from the mixture"]
    rows = [
        [f"{m['tolerance']:g}", f"{m['evaluations']:.0f}", m["most"], f"{m['rms']:.2g}", f"{m['distance']:.2g}"]
        for m in found["adaptive"]
    ]
    return table(head, rows)


def draw(found: Found, path: Path) -> None:
    """Draw both errors against evaluations."""
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6.4, 8.4), sharex=True)
    for row in _of(found, MANY):
        if colour := SHOWN.get((row["sampler"], row["grid"])):
            style: dict[str, Any] = {"color": colour, "marker": "o", "ms": 3, "ls": "--" if row["stochastic"] else "-"}
            label = f"{row['sampler']}, {row['grid']}"
            asked = [m["evaluations"] for m in row["measured"]]
            lower.loglog(asked, [m["distance"] for m in row["measured"]], label=label, **style)
            if not row["stochastic"]:
                upper.loglog(asked, [m["rms"] for m in row["measured"]], **style)
    lower.axhspan(0, found["floor"]["largest"], color="0.85", label="exact draws")
    upper.set_title("From the exact flow through the same noise")
    upper.set_ylabel("root mean square distance")
    lower.set_title("From the exact mixture")
    lower.set_ylabel("sliced Wasserstein-1 distance")
    for axis in (upper, lower):
        axis.set_xticks(MANY, [str(count) for count in MANY])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    lower.set_xlabel("evaluations of the denoiser")
    figure.legend(*lower.get_legend_handles_labels(), loc="lower center", ncols=2, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
