"""Progressive distillation, and the teachers' losses of the consistency releases."""

import jax
import jax.numpy as jnp
import pytest

from jaxdiff import losses, timesteps
from jaxdiff.losses import progressive
from jaxdiff.losses.consistency import euler_solver
from jaxdiff.losses.score import sliced_score_loss
from jaxdiff.precond import denoiser
from jaxdiff.timesteps import pairs
from jaxdiff.train import ema
from jaxdiff.types import expand
from tests.parity.consistency_cases import DISTANCES, cases, read, weights
from tests.support import reference
from tests.support.arrays import close

READS = (
    "consistency/progdist_*.npz",
    "consistency/loss_progdist*.npz",
    "consistency/jcm_loss_progdist*.npz",
    "consistency/loss_denoise*_torch.npz",
    "consistency/loss_denoiser.npz",
    "consistency/loss_denoise_jax.npz",
    "consistency/jcm_loss_dsm*.npz",
)


@pytest.mark.parametrize(("path", "name"), cases(*READS[:3], marks=("loss_norm",)))
def test_progressive_distillation(path, name, x64):
    case = read(path, name)
    config = case.options("rho", "num_scales", "loss_norm", "weight", student_scalings=("edm", "boundary"))
    x0, noise = case.inputs["x0"], case.inputs["noise"]
    levels = pairs.progressive_levels(case.inputs["indices"], config["num_scales"], **case.span())
    x = x0 + expand(levels[0], x0) * noise
    x_mid = euler_solver(case.teacher, x, *levels[:2])
    parametrisation = case.parametrisations()[0 if config.get("student_scalings") == "boundary" else 1]
    weight = weights(config["sigma_data"])[config["weight"]](levels[0])

    def per_example(params):
        student = denoiser(case.apply, params, parametrisation)
        how = {"distance": DISTANCES[config["loss_norm"]], "weight": weight}
        return progressive.progressive_loss(student, case.teacher, x0, levels, noise, **how)

    params = case.params["student"]
    loss = per_example(params)
    case.agree(
        jax.jit(jax.grad(lambda params: case.mean(per_example(params))))(params),
        **dict(zip(("t", "t2", "t3"), levels, strict=True)),
        x_t=x, x_t2=x_mid, x_t3=euler_solver(case.teacher, x_mid, *levels[1:]),
        target=progressive.two_step_target(case.teacher, x, *levels),
        online=denoiser(case.apply, params, parametrisation)(x, levels[0]),
        losses=loss, loss=case.mean(loss), weights=weight, unweighted=loss / weight,
    )  # fmt: skip


@pytest.mark.parametrize(("path", "name"), cases(*READS[3:5], marks=(), wanted=lambda name: name != "ema"))
def test_teachers_of_torch(path, name, x64):
    case = read(path, name)
    config = case.options("rho", "weight")
    x0, noise, sigma = (case.inputs[name] for name in ("x0", "noise", "sigma"))
    _, parametrisation = case.parametrisations()
    weight = weights(config["sigma_data"])[config["weight"]]

    def per_example(params, weight=weight):
        return losses.denoising_loss(denoiser(case.apply, params, parametrisation), x0, sigma, noise, weight)

    params = case.params["student"]
    plain = per_example(params, jnp.ones_like)
    gradient = jax.jit(jax.grad(lambda params: jnp.mean(per_example(params))))(params)
    case.agree(gradient, xs_mse=plain, unweighted=plain, losses=per_example(params))


@pytest.mark.parametrize("path", reference.files("consistency/loss_denoise_torch.npz"), ids=reference.ids)
def test_moving_average(path, x64):
    arrays = reference.subset(reference.load(path), "ema")
    target, source, rates = (jnp.asarray(arrays[f"in/{name}"], jnp.float64) for name in ("target", "source", "rate"))
    for rate, expected in zip(rates, arrays["out/target"], strict=True):
        close(ema.update(target, source, rate), expected)


def of_jcm():
    """The first set's options lie in the name of the case, and none has a config of its own."""
    for path in reference.files("consistency/loss_denoise_jax.npz"):
        found = sorted({name.split("/")[0] for name in reference.load(path) if name.endswith("/out/loss")})
        yield from (pytest.param(path, name, id=f"{path.stem}-{name}") for name in found)
    yield from cases("consistency/jcm_loss_dsm*.npz", marks=("kind",))


@pytest.mark.parametrize(("path", "name"), list(of_jcm()))
def test_teachers_of_jcm(path, name, x64):
    case = read(path, name)
    config = case.options("P_mean", "P_std", "rho", likelihood_weighting=(False, True))
    kind = config["kind"] if "likelihood_weighting" in config else name.removesuffix("_weighted")
    sliced = {"dsm": False, "ssm": True}[kind]
    weighted = config.get("likelihood_weighting", name.endswith("_weighted"))
    x0, noise = case.inputs["x0"], case.inputs["noise"]
    sigma = timesteps.lognormal_sigma(case.inputs["rnd_normal"], config.get("P_mean", -1.2), config.get("P_std", 1.2))
    parametrisation, pixels = case.parametrisations()[1], x0[0].size

    def per_example(params):
        denoise = denoiser(case.apply, params, parametrisation)
        if not sliced:  # whose weight is the likelihood's already
            return pixels * losses.edm_loss(denoise, x0, sigma, noise, sigma_data=config["sigma_data"])

        def score(x, sigma):
            return (denoise(x, sigma) - x) / expand(sigma, x) ** 2

        x = x0 + expand(sigma, x0) * noise
        weight = sigma**2 * losses.edm_weight(sigma, config["sigma_data"]) if weighted else 1.0
        # The release has SSM-VR (Song et al. 2019, Eq. 8), leaves out the half, and takes a mean over pixels.
        probes, value = case.inputs["signs"], score(x, sigma)
        projected, squared = (jnp.sum(a, axis=(1, 2, 3)) for a in (probes * value, value**2))
        loss = sliced_score_loss(score, x, sigma, probes) + (squared - projected**2) / 2
        return weight * sigma**2 * 2 / pixels * loss

    params = case.params["student"]
    loss = per_example(params)
    gradient = jax.jit(jax.grad(lambda params: case.mean(per_example(params))))(params)
    case.agree(gradient, t=sigma, losses=loss, unweighted=loss, loss=case.mean(loss))
