"""What works with the core's packages alone: light.py, run where a wheel is installed and no clone is on the path."""

import importlib
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxdiff as jd
from jaxdiff.imports import MissingExtra
from jaxdiff.interop import exported
from jaxdiff.nets.mlp import MLP
from jaxdiff.nets.unet import SongUNet

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

unet = SongUNet(4, 1, 1, model_channels=8, channel_mult=(1,), num_blocks=1, attn_resolutions=())
weights = jax.jit(unet.init)(key, jnp.zeros((1, 4, 4, 1)), jnp.ones(1))
path = Path("light.npz")
exported.save(path, unet, weights, exported.Description({"name": "edm"}, (4, 4, 1)))
again = exported.load(path)
path.unlink()
x, low = jnp.ones((1, 4, 4, 1)), jnp.ones(1)
assert jnp.array_equal(again.denoiser()(x, low), jd.denoiser(unet.apply, weights, jd.precond.edm())(x, low))

missing: dict[str, list[str]] = {}
for module in pkgutil.walk_packages(jd.__path__, "jaxdiff."):
    try:
        importlib.import_module(module.name)
    except MissingExtra as error:
        missing.setdefault(str(error).split("'")[1], []).append(module.name)
for extra, modules in missing.items():
    print(f"pip install '{extra}' for {', '.join(modules)}")
assert set(missing) == {"jaxdiff[data]", "jaxdiff[flow]"}, sorted(missing)

said = ""
try:  # what is slow to import is imported where it is used, and says the same there
    jd.metrics.memorisation.nearest_distance([[0.0]], [[1.0]])
except MissingExtra as error:
    said = str(error)
assert said.endswith("needs scikit-learn: pip install 'jaxdiff[metrics]'"), said
