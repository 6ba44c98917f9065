"""gamma(t), the log of the noise-to-signal ratio of a variational diffusion model, fixed or learned.

    gamma(t) = log(sigma_t^2 / alpha_t^2) = -log SNR(t)     alpha_t^2 = sigmoid(-gamma)     sigma_t^2 = sigmoid(gamma)

In jaxdiff's coordinates x = z / alpha = x0 + sigma * n, so that sigma^2 = exp(gamma). Time t runs from 0 (data) to 1
(noise); each module maps t [] or [B] to gamma in the same shape and increases with t. Bind its parameters for the
losses: `functools.partial(module.apply, params)`.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.types import Array, ArrayLike

Init = Callable[..., Array]


class FixedLinear(nn.Module):
    """gamma(t) = gamma_min + (gamma_max - gamma_min) * t; no parameters.

    Attributes:
      gamma_min, gamma_max: at t = 0 and t = 1.
    Raises: ValueError unless gamma_min < gamma_max.
    Reference: Kingma et al. 2021, section 3.2; the defaults are the authors' configuration.
    Example:
      >>> FixedLinear(gamma_min=-10.0, gamma_max=6.0).apply({}, 0.5).item()
      -2.0
    """

    gamma_min: float = -13.3
    gamma_max: float = 5.0

    @nn.compact
    def __call__(self, t: ArrayLike) -> Array:
        _check_range(self.gamma_min, self.gamma_max)
        return self.gamma_min + (self.gamma_max - self.gamma_min) * jnp.asarray(t)


class LearnedLinear(nn.Module):
    """gamma(t) = |w| * t + b, so that both end points are learned.

    Attributes:
      gamma_min, gamma_max: where the end points start.
    Raises: ValueError unless gamma_min < gamma_max.
    Reference: Kingma et al. 2021, section 3.2.
    Example:
      >>> LearnedLinear().apply({"params": {"w": jnp.array([-4.0]), "b": jnp.array([-2.0])}}, 0.25).item()
      -1.0
    """

    gamma_min: float = -13.3
    gamma_max: float = 5.0

    @nn.compact
    def __call__(self, t: ArrayLike) -> Array:
        _check_range(self.gamma_min, self.gamma_max)
        w = self.param("w", nn.initializers.constant(self.gamma_max - self.gamma_min), (1,))
        b = self.param("b", nn.initializers.constant(self.gamma_min), (1,))
        return jnp.abs(w)[0] * jnp.asarray(t) + b[0]


class Monotone(nn.Module):
    """gamma(t) = l1(t) + l3(tanh(l2(2 t - 1) / 2)) / K, with the absolute values of all weights.

    Attributes:
      gamma_min, gamma_max: end points of l1 at the start.
      features: K, width of the hidden layer.
    Raises: ValueError unless gamma_min < gamma_max.
    Reference: Kingma et al. 2021, Appendix H; departures, as in the authors' code: a centred input and non-linearity,
      the mean over hidden units, and end points that are learned (`with_endpoints` pins them as the paper does).
    Example:
      >>> import jax
      >>> t = jnp.linspace(0.0, 1.0, 5)
      >>> params = Monotone(features=8).init(jax.random.key(0), t)
      >>> bool(jnp.all(jnp.diff(Monotone(features=8).apply(params, t)) > 0))
      True
    """

    gamma_min: float = -13.3
    gamma_max: float = 5.0
    features: int = 1024

    @nn.compact
    def __call__(self, t: ArrayLike) -> Array:
        _check_range(self.gamma_min, self.gamma_max)
        column = jnp.asarray(t).reshape(-1, 1)
        constant = nn.initializers.constant
        line = PositiveDense(1, constant(self.gamma_max - self.gamma_min), constant(self.gamma_min), name="l1")(column)
        hidden = PositiveDense(self.features, name="l2")(2 * column - 1)
        bend = PositiveDense(1, bias_init=None, name="l3")(jnp.tanh(hidden / 2)) / self.features
        return (line + bend).reshape(jnp.shape(t))


class PositiveDense(nn.Module):
    """|W| x + b; full precision on every accelerator, since gamma' is a derivative of the result.

    Attributes:
      kernel_init, bias_init: no bias where bias_init is None.
    """

    features: int
    kernel_init: Init = nn.initializers.lecun_normal()
    bias_init: Init | None = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = jnp.matmul(x, jnp.abs(kernel), precision="highest")
        return y if self.bias_init is None else y + self.param("bias", self.bias_init, (self.features,))[None]


def with_endpoints(gamma: Callable[[Array], Array], gamma_min: float, gamma_max: float) -> Callable[[Array], Array]:
    """Map gamma(t) to given end points, with the same shape.

    gamma_min + (gamma_max - gamma_min) * (gamma(t) - gamma(0)) / (gamma(1) - gamma(0))

    Args:
      gamma: an increasing function of t; gamma_min, gamma_max: at t = 0 and t = 1.
    Raises: ValueError unless gamma_min < gamma_max.
    Reference: Kingma et al. 2021, Appendix H.
    Example:
      >>> with_endpoints(jnp.square, -10.0, 6.0)(jnp.array(0.5)).item()
      -6.0
    """
    _check_range(gamma_min, gamma_max)

    def pinned(t: Array) -> Array:
        t = jnp.asarray(t)
        start, end = gamma(jnp.zeros((), t.dtype)), gamma(jnp.ones((), t.dtype))
        return gamma_min + (gamma_max - gamma_min) * (gamma(t) - start) / (end - start)

    return pinned


def _check_range(gamma_min: float, gamma_max: float) -> None:
    if not gamma_min < gamma_max:
        raise ValueError(f"gamma_min must be below gamma_max, got {gamma_min} and {gamma_max}")
