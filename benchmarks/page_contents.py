"""What stands on the pages of docs/figures: sections with their tables, and what has to be said beside them."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import cost_tables as cost
from benchmarks import quality_tables as quality
from benchmarks import solver_tables as solver
from benchmarks.tables import Found, recorded


class Section(NamedTuple):
    """Everything that one benchmark found."""

    heading: str
    results: str
    """What the names of its files begin with, up to the first "-"."""
    table: Callable[[Found], str]
    command: str = ""
    text: str = ""
    """What has to be known to read the table."""


class Page(NamedTuple):
    """One file of docs/figures."""

    title: str
    text: str
    sections: tuple[Section, ...]


EXPERIMENTS = """\
Goals are what the project set itself; reached is what the command printed. Each row was one run. The digits are
scikit-learn's 1,797 handwritten digits of 8x8 pixels, half for training and half held out; a Frechet distance of
pixels, without Inception features, is not an FID and compares with others on this page only. Consistency models
have [a page of their own](consistency.md); all systems side by side are in [the trilemma](trilemma.md). EDM's
network on digits has 0.75 M parameters and was trained for 600 steps of batch 128. Runs of 2026-11-28 were on a
slower machine."""

TRILEMMA = """\
Seconds are of one process, one row after another on a machine that did nothing else, without compilation; "in the
network" is the share of as many evaluations alone. Minutes of training hold compilation and were taken with up to
three other programs; a teacher's come first. bits/dim: exact along the flow, of dequantised digits; `<=` is the
variational bound, of grey values. DDGAN draws digits without classes, so without an SVM.

![Time against quality and recall, digits and 25 Gaussians](../img/trilemma.png)

- The goal for DDGAN at T = 4 was 200 times the speed of PC-2000 on the same network, and at most 3 times the Frechet
  distance of EDM at four evaluations; both were reached on digits. 500 is the ratio of the evaluations; the rest is
  what either sampler does outside the network. On its own network PC-2000 is convolutional. The paper's 2,000 is
  between different networks.
- On digits the one-shot GAN (T = 1) and T = 2 have larger Frechet distances and less recall than T = 4, in one run
  each.
- On points, where networks are of one size, DDGAN's samples are good and its recall is the lowest of all; T = 1 has
  the least, but reaches all modes.
- A few evaluations need a sampler that learned them: EDM's solver at 4 leaves most points between the modes."""

CONSISTENCY = """\
1,000 images; 2,000 steps of batch 64. Minutes of training were taken with up to four other programs on the two
cores, those of sCD, the slowest, with the others paused: 300 steps in 80 s, the last 200 at 435 images/s, so about
5.5 minutes for all, extrapolated. The minutes of the teacher are not its whole training, which took the 4.6 of [the
trilemma](trilemma.md).

![Digits by consistency distillation, one evaluation each](../img/consistency_digits.png)"""

FAMILIES = """\
250 images each from one VP score SDE (0.75 M parameters), in one run without compilation. A Frechet distance of 250
images is larger than one of 1,000: compare these with each other only. The adaptive solver goes on until the
slowest image of a batch is done."""

FAULTS = """\
A small dense network on digits: the U-Net takes too long to compile for so many starts. "Killed" is `kill -9` while
waiting for data, in a step, in a save; survived means resumed to bit-identical state and losses. "Damaged"
checkpoints (cut short, zeroed, deleted) were detected and the one before was read. The full disk is a limit on the
size of files: the run went on, said so, and reached the same state. The goals were 20 of 20 killed and 20 of 20
damaged."""

MEMORY = """\
CIFAR-10's DDPM++ (55.73 M parameters), 32 images over all devices, as XLA plans it for CPUs. XLA's CPU backend does
not order a program by its memory: `--remat` adds its work and saves nothing here, and bfloat16 is emulated. The
same command on an accelerator says what holds there."""

SAVES = """\
Asynchronous saves of the digits run, 579 arrays, in pairs of blocks with and without a save. The first save of a
process is read back once, a quarter of the state at a time, on the host."""

COLLECTIVES = """\
The digits network (0.75 M parameters): what XLA makes of the step for CPUs. The goal was one group of reductions
where the network is replicated, and no other collective."""

SPEED = """\
Seconds of one machine compare with each other only. Benchmarks wait for the device to finish, and leave compilation
out where they do not say otherwise."""

UNET = """\
55.73 M parameters; the table in bfloat16, which these CPUs emulate, is by `--dtype bfloat16`. The goal for the
shares of a training step and of sampling was at least 0.5: met in float32, missed in bfloat16."""

TRUNCATION = """\
Heun's method beats Euler's from about 30 evaluations on, for the `ve` and `edm` steps; below that its two
evaluations a step are not worth their cost. The VP and iDDPM steps lose, as in the paper. But the EDM steps do
*not* win on this mixture: equal steps in log sigma (`ve`) are better. Here the trajectories bend where sigma is
near the distance between and the width of the modes (1 to 0.05), in the middle of the logarithmic range; rho = 7
spends more of its steps above that. The paper chose rho for FID on images, whose variance spreads over many scales;
a mixture cannot confirm or deny that choice."""

DISCRETISATIONS = """\
RMS distance of the end point from that of the exact ODE for 1,024 trajectories into a ring of eight Gaussians
(radius 1, standard deviation 0.05), by number of evaluations, in float64. All four time discretisations of Karras
et al. 2022, Table 1, cover sigma = 80 to 0.002 and then step to 0; `edm` is the paper's rho = 7. Schedule sigma(t)
= t, no scaling. The solution taken as exact is Heun's with 8,000 steps.

![Truncation error against evaluations](../img/truncation.png)"""


def by_hand(heading: str, family: str) -> Section:
    """Return a section of what was recorded by hand; its rows name their own commands."""
    return Section(heading, "experiments", recorded(family))


PAGES = {
    "experiments": Page(
        "What each experiment reached",
        EXPERIMENTS,
        (
            by_hand("EDM", "edm"),
            by_hand("DDPM", "ddpm"),
            by_hand("Score SDEs", "score_sde"),
            by_hand("Denoising diffusion GANs", "ddgan"),
            by_hand("Smoke runs on images of one's own", "smoke"),
            by_hand("Checks of orders", "checks"),
        ),
    ),
    "trilemma": Page(
        "The trilemma: quality, coverage, speed",
        "Every system on the same data: the figure that Xiao et al. 2022 argue with, measured.",
        (Section("All systems", "trilemma", quality.trilemma, "python -m experiments.trilemma", TRILEMMA),),
    ),
    "consistency": Page(
        "Every way to a consistency model",
        "Digits by one and two evaluations, from the same teacher or from nothing.",
        (Section("Methods", "consistency", quality.consistency, "python -m benchmarks.consistency", CONSISTENCY),),
    ),
    "truncation": Page(
        "Truncation error on a mixture",
        TRUNCATION,
        (
            Section(
                "Time steps and solvers of the EDM paper",
                "truncation",
                quality.truncation,
                "python -m benchmarks.truncation --plot docs/img/truncation.png",
                DISCRETISATIONS,
            ),
        ),
    ),
    "solver_error": Page(
        "Error against evaluations of every sampler",
        solver.ERROR,
        (
            Section("Deterministic samplers", "solver_error", solver.flow, solver.COMMAND, solver.FLOW),
            Section("All samplers", "solver_error", solver.law, text=solver.LAW),
            Section("A few evaluations", "solver_error", solver.few, text=solver.FEW_STEPS),
            Section("The adaptive solver", "solver_error", solver.adaptive, text=solver.ADAPTIVE),
        ),
    ),
    "speed": Page(
        "Speed",
        SPEED,
        (
            Section("Whole experiments", "throughput", cost.throughput, "python -m benchmarks.throughput"),
            Section(
                "Every sampler on one network",
                "families",
                quality.families,
                "python -m benchmarks.families --num-images 250",
                FAMILIES,
            ),
            Section("The sampling loop", "sampler", cost.sampler, "python -m benchmarks.sampler"),
            by_hand("The sampling loop, an earlier run", "loop"),
            Section("CIFAR-10's DDPM++", "unet", cost.unet, "python -m benchmarks.unet --batch 4", UNET),
            Section("A step of DDGAN's training", "adversarial", cost.adversarial, "python -m benchmarks.adversarial"),
            Section(
                "Data",
                "data",
                cost.data,
                "python -m benchmarks.data",
                "Batches of 512 images of CIFAR-10's size.",
            ),
        ),
    ),
    "training": Page(
        "Checkpoints, devices, faults",
        "What keeps a run going. Devices are simulated on CPUs.",
        (
            Section("Checkpoints", "checkpoints", cost.checkpoints, "python -m benchmarks.checkpoints", SAVES),
            by_hand("Reading a checkpoint back", "checkpoints"),
            Section("Faults", "faults", cost.faults, "python -m benchmarks.faults", FAULTS),
            Section("Communication of one step", "scaling", cost.scaling, "python -m benchmarks.scaling", COLLECTIVES),
            by_hand("Many devices and processes give one device's losses", "devices"),
            Section("Memory of one step", "memory", cost.memory, "python -m benchmarks.memory", MEMORY),
        ),
    ),
}
"""By the name of the file."""
