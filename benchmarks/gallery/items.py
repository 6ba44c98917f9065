"""The table of the gallery's pictures, and of the runs that they need."""

from benchmarks.gallery import digits, kept, mixture
from benchmarks.gallery.item import by_code, by_command

RUNS = {
    "edm_digits": "python -m experiments.edm_digits",
    "ddpm_digits": "python -m experiments.ddpm_digits",
    "consistency_digits": "python -m experiments.consistency_digits",
    "ddgan_25gaussians": "python -m experiments.ddgan_25gaussians",
}
"""Folder in runs/ -> what trains it."""

ITEMS = (
    by_command(
        "edm_digits",
        "Digits by EDM",
        "What the main command leaves: 0.75 M parameters, 600 training steps, 35 evaluations a digit.",
        ("edm_digits",),
        left="runs/edm_digits/samples.png",
    ),
    by_command(
        "noise_to_digits",
        "Noise to digits",
        "`--animation` draws the way of any run's samples, as GIF or as animated PNG. A state at level sigma is shown "
        "as x / sqrt(1 + sigma^2).",
        ("edm_digits",),
        "python -m experiments.sample --workdir runs/edm_digits --num-steps 64 --seeds 0-29 "
        "--animation docs/img/noise_to_digits.gif",
        picture="noise_to_digits.gif",
    ),
    by_code(
        "Paths of the probability flow and of ancestral sampling",
        "A mixture of three Gaussians, whose denoiser has a closed form, so that nothing is trained. Noise taken "
        "either way has the density in blue at every level; the flow's paths never cross.",
        mixture.paths,
    ),
    by_code(
        "One network, few evaluations, several solvers",
        "The network of the first picture. Two steps of Heun's method, three evaluations, overshoot; DPM-Solver++(2M) "
        "is legible from four evaluations on.",
        digits.few_evaluations,
        ("edm_digits",),
    ),
    by_code(
        "Guidance, in closed form",
        "Eight Gaussians; the class is three neighbours. A weight of 0 ignores the class, 1 samples it, larger ones "
        "move samples away from the other classes, and no longer have its density.",
        mixture.guided,
    ),
    by_code(
        "Inpainting",
        "`impute` replaces the observed pixels after every step of any sampler, with noise of the level reached.",
        digits.inpainting,
        ("edm_digits",),
    ),
    by_code(
        "Super-resolution",
        "The same with another measurement, the means of patches. Colourisation is a third, `grey`; its pictures "
        "need colour images, and digits are grey, so there is none here.",
        digits.super_resolution,
        ("edm_digits",),
    ),
    by_code(
        "Interpolation",
        "Two starting noises and `slerp` between them, with Heun's method, which is deterministic.",
        digits.interpolation,
        ("edm_digits",),
    ),
    by_command(
        "predictor_corrector",
        "Predictor and corrector",
        "Score SDE's sampler on the network of the first picture, along the variance-exploding SDE: 200 steps of "
        "reverse diffusion, each with one Langevin correction.",
        ("edm_digits",),
        "python -m experiments.sample --workdir runs/edm_digits --sampler pc --num-steps 200 --seeds 0-29",
        left="runs/edm_digits/pc-200/samples.png",
    ),
    by_command(
        "ddpm_digits",
        "Digits by DDPM",
        "Improved DDPM: the cosine schedule and the hybrid loss.",
        ("ddpm_digits",),
        left="runs/ddpm_digits/samples.png",
    ),
    by_command(
        "consistency_digits",
        "A consistency model by one evaluation",
        "Distilled from the network of the first picture.",
        ("edm_digits", "consistency_digits"),
        left="runs/consistency_digits/samples.png",
    ),
    by_code(
        "The same by one, two and four evaluations, and its teacher",
        "More evaluations re-noise what the first one drew and denoise it again.",
        digits.few_steps,
        ("edm_digits", "consistency_digits"),
    ),
    by_command(
        "ddgan_25gaussians",
        "25 Gaussians by a denoising diffusion GAN",
        "Four steps, each by a generator. Red crosses are the true means.",
        ("ddgan_25gaussians",),
        left="runs/ddgan_25gaussians/samples.png",
    ),
    by_code(
        "The trilemma",
        "Quality against time, coloured by recall, of every system on the same data: kept results of "
        "`python -m experiments.trilemma`, described in [its figures](figures/trilemma.md). Marks are families: "
        "circles EDM, squares DDPM, triangles score SDEs, crosses consistency models, diamonds "
        "denoising diffusion GANs.",
        kept.trilemma,
    ),
    by_command(
        "truncation",
        "Truncation error of time steps and solvers",
        "On a mixture whose flow is known; [its figures](figures/truncation.md).",
        command="python -m benchmarks.truncation --plot docs/img/truncation.png",
    ),
)
