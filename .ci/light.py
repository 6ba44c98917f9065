"""What works with the core's packages alone: light.py, run where a wheel is installed and no clone is on the path."""

import importlib
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxdiff as jd
from jaxdiff.imports import MissingExtra
from jaxdiff.nets.mlp import MLP

home = Path(jd.__file__).parent
assert home.parent.name == "site-packages", f"{home} is no installed wheel"
assert (home / "py.typed").exists(), "the types are not packaged"

key = jax.random.key(0)
x0, noise, sigma = jnp.zeros((4, 2)), jax.random.normal(key, (4, 2)), jnp.ones(4)
net = MLP(features=2, width=8, depth=1)
params = net.init(key, sigma, x0)


def apply_fn(params: jd.types.Params, x: jax.Array, c_noise: jax.Array) -> jax.Array:
    return net.apply(params, jnp.broadcast_to(c_noise, x.shape[:1]), x)


denoise = jd.denoiser(apply_fn, params, jd.precond.edm())
loss = jd.edm_loss(denoise, x0, sigma, noise)
sigmas = jd.grids.karras(num_steps=4)
images = jd.sample(jd.samplers.heun(), denoise, sigmas[0] * noise, sigmas)
assert loss.shape == (4,)
assert images.shape == x0.shape
assert jnp.isfinite(images).all()

missing: dict[str, list[str]] = {}
for module in pkgutil.walk_packages(jd.__path__, "jaxdiff."):
    try:
        importlib.import_module(module.name)
    except MissingExtra as error:
        missing.setdefault(str(error).split("'")[1], []).append(module.name)
for extra, modules in missing.items():
    print(f"pip install '{extra}' for {', '.join(modules)}")
assert set(missing) == {"jaxdiff[data]", "jaxdiff[metrics]", "jaxdiff[flow]"}, sorted(missing)
