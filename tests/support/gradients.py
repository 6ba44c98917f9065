"""Outputs and gradients of one compiled program."""

import jax


def with_gradients(f, inputs, cotangent):
    """(f(*inputs), the gradients of <cotangent, f> by every input)."""

    @jax.jit
    def run(inputs, cotangent):
        output, pull = jax.vjp(f, *inputs)
        return output, pull(cotangent)

    return run(tuple(inputs), cotangent)
