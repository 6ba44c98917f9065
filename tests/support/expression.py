"""What a function computes, as an expression of its inputs."""

import hashlib
import re

import jax
import numpy as np


def expression(function, *args):
    """[(path of an output, digest of the expression that it is)]; what no output depends on is left out.

    Two functions of one expression are the same function, so that an option that leaves it as it is has no effect.
    Nothing is compiled.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    digests = _outputs(closed.jaxpr, closed.consts, [f"input {k}" for k in range(len(closed.in_avals))])
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)]
    return list(zip(paths, digests, strict=True))


def _outputs(jaxpr, consts, inputs):
    """Digests of a jaxpr's outputs, given those of its inputs."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))
    known |= {var: _digest(np.asarray(value).tobytes()) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def of(atom):
        return f"{atom.val!r} {atom.aval}" if hasattr(atom, "val") else known[atom]

    for eqn in jaxpr.eqns:
        options = [(name, _option(value)) for name, value in sorted(eqn.params.items())]
        made = _digest(repr((eqn.primitive.name, options, [of(atom) for atom in eqn.invars])).encode())
        known |= {var: f"{made} {k} {var.aval}" for k, var in enumerate(eqn.outvars)}
    return [of(atom) for atom in jaxpr.outvars]


def _option(value):
    """An equation's option as text without addresses in memory; a function inside it as its expression."""
    jaxpr = getattr(value, "jaxpr", value)
    if hasattr(jaxpr, "eqns"):
        return _outputs(jaxpr, getattr(value, "consts", ()), [f"inner {k}" for k in range(len(jaxpr.invars))])
    return re.sub(r" at 0x\w+", "", str(value))


def _digest(data):
    return hashlib.sha1(data).hexdigest()
