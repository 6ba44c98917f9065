"""One row a sampler; every test of samplers walks this table. A new sampler is a new row."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxdiff import reverse, samplers, schedules
from jaxdiff.samplers import Sampler


@dataclass(frozen=True)
class Row:
    """What is claimed of a sampler.

    Attributes:
      make: its constructor.
      nfe: evaluations for n steps on a grid that ends at 0.
      order: order of convergence to the ODE's solution, None where it does not follow the ODE.
      stochastic: whether it draws noise.
    """

    name: str
    make: Callable[[], Sampler]
    nfe: Callable[[int], int]
    order: int | None
    stochastic: bool = False


TABLE = [
    Row("euler", samplers.euler, nfe=lambda n: n, order=1),
    Row("heun", samplers.heun, nfe=lambda n: 2 * n - 1, order=2),
    Row("dpmpp_2m", samplers.dpmpp_2m, nfe=lambda n: n, order=2),
    Row("ode_linear", lambda: samplers.ode(schedules.linear()), nfe=lambda n: 2 * n - 1, order=2),
    Row(
        "ode_vp_midpoint",
        lambda: samplers.ode(schedules.variance_preserving(schedules.vp()), samplers.second_order_step(0.5)),
        nfe=lambda n: 2 * n - 1,
        order=2,
    ),
    Row("ode_ve_euler", lambda: samplers.ode(schedules.ve(), samplers.euler_step), nfe=lambda n: n, order=1),
    Row("ancestral_small", samplers.ancestral, nfe=lambda n: n, order=None, stochastic=True),
    Row(
        "ancestral_large",
        lambda: samplers.ancestral(reverse.fixed(reverse.large)),
        nfe=lambda n: n,
        order=None,
        stochastic=True,
    ),
    Row("ddim_half", lambda: samplers.ddim(0.5), nfe=lambda n: n, order=None, stochastic=True),
    Row("ddim_one", lambda: samplers.ddim(1.0), nfe=lambda n: n, order=None, stochastic=True),
    Row("churn_euler", lambda: samplers.churn(samplers.euler(), 5), nfe=lambda n: n, order=None, stochastic=True),
    Row(
        "churn_heun",
        lambda: samplers.churn(samplers.heun(), 10, s_min=0.05, s_max=50, s_noise=1.0),
        nfe=lambda n: 2 * n - 1,
        order=None,
        stochastic=True,
    ),
]
