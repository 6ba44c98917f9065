"""jaxdiff: diffusion systems in JAX and Flax, as pure functions on one core.

Everything speaks the denoiser D(x, sigma) = E[x0 | x0 + sigma * n = x]. See the README for a ten-line use.
"""

__version__ = "0.1.0"
