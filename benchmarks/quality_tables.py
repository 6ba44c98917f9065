"""Tables of how good samples are, by benchmark."""

from benchmarks.tables import Found, figures, table, three
from experiments.comparison import table as trilemma_table


def trilemma(found: Found) -> str:
    """Write both tables, and what follows from them."""
    parts = []
    for data, title in (("digits", "Digits, 1,000 images:"), ("25gaussians", "25 Gaussians, 10,000 points:")):
        parts += [title, trilemma_table.markdown(list(found["rows"][data].values())), ratios(found, data)]
    return "\n\n".join(parts)


def ratios(found: Found, data: str) -> str:
    """Write how DDGAN at T = 4 compares."""
    rows = found["rows"][data]

    def distance(name: str) -> float:
        return rows["ddgan-4"]["frechet"] / rows[name]["frechet"]

    said = [f"{r:,.0f} times {name}" for name, r in found["ratios"][data].items() if "fast" in name]
    said += [f"{distance('edm-dpmpp-4'):.2f} times the Frechet distance of EDM at 4 evaluations"]
    said += [f"{distance('edm-heun-18'):.2f} times that of EDM at 35"]
    one, two = (1 / distance(f"ddgan-{t}") for t in (1, 2))
    return f"DDGAN at T = 4: {'; '.join(said)}. T = 1 has {one:.2f} times its distance, T = 2 has {two:.2f} times."


def consistency(found: Found) -> str:
    """Write the goals, then every method at one and two evaluations."""
    teacher, *rows = found["rows"]
    best = teacher["frechet_pixels"]
    by = {(row["run"], row["evaluations"]): row for row in rows}

    def reached(run: str, evaluations: int = 1) -> str:
        distance = by[run, evaluations]["frechet_pixels"]
        return f"{distance:.1f} ({distance / best:.2f} x)"

    def cells(row: Found) -> list[str]:
        return [
            *(METHODS[row["run"]], f"{row['evaluations']}", f"{row['frechet_pixels']:.1f}"),
            *(f"{row['frechet_pixels'] / best:.2f}", f"{row['svm_accuracy']:.3f}"),
            *(f"{row[name]:.3f}" for name in ("precision", "recall", "density", "coverage")),
            *(three(row["seconds_per_1000"]), f"{row['training_minutes']:.1f}"),
        ]

    goals = figures(
        ("CD, one evaluation: Frechet distance, ratio to the teacher's", "<= 3 x", reached("cd")),
        ("CD, two evaluations", "<= 2 x", reached("cd", 2)),
        ("ECT, one evaluation", "<= CD's", reached("ect")),
        ("CT, one evaluation", "<= 6 x", reached("ct")),
        ("sCT, one evaluation", "<= 6 x", reached("sct")),
        ("CD, one evaluation: SVM accuracy", ">= 0.9", f"{by['cd', 1]['svm_accuracy']:.3f}"),
        (
            "1,000 digits by one evaluation, against the teacher's 35",
            ">= 25 x as fast",
            f"{found['speedup']:.1f} x",
        ),
    )
    head = ["method", "evaluations", "Frechet", "ratio", "SVM", "precision", "recall", "density", "coverage"]
    return goals + "\n\n" + table([*head, "s per 1,000", "training, min"], map(cells, found["rows"]))


METHODS = {"edm_digits": "teacher, EDM", "cd": "CD", "ct": "CT", "ict": "iCT", "ect": "ECT", "scd": "sCD", "sct": "sCT"}


def families(found: Found) -> str:
    """Write seconds and quality of every sampler."""
    head = ["sampler", "evaluations", "s per 1,000", "Frechet", "SVM", "precision", "recall"]
    rates = ("svm_accuracy", "precision", "recall")
    rows = [
        [
            *(row["sampler"], f"{row['evaluations']:,.0f}", three(row["seconds_per_1000"])),
            *(f"{row['frechet_pixels']:.1f}", *(f"{row[name]:.3f}" for name in rates)),
        ]
        for row in found["rows"]
    ]
    return table(head, rows)


def truncation(found: Found) -> str:
    """Write the error of each discretisation and solver by evaluations, and which is smallest."""
    rows, columns = found["rows"], range(len(found["evaluations"]))
    best = [min(rows, key=lambda name: rows[name][i]) for i in columns]
    body = [[name, *(f"{error:.2e}" for error in row)] for name, row in rows.items()]
    gains = [100 * (1 - rows["ve heun"][i] / rows["edm heun"][i]) for i in columns if found["evaluations"][i] >= 35]
    said = (
        f"From 35 evaluations on, by Heun's method, ve's steps have {min(gains):.0f} to {max(gains):.0f} % less error "
        f"than edm's. The solution taken as exact is {found['error_of_the_exact']:.1e} from that with half the steps."
    )
    head = ["time steps, solver", *found["evaluations"]]
    return f"{table(head, [*body, ['smallest', *best]])}\n\n{said}"
