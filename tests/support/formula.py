"""Formulas of one variable that a recorded config writes out: "x -> 0.9*x + 0.05", "0.8*cos(3*x_t)", "exp(-3*u^2)"."""

import ast
import operator

import jax.numpy as jnp

OPERATIONS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
FUNCTIONS = ("cos", "sin", "exp", "sqrt", "tanh")


def formula(text, functions=jnp):
    """The function of a text, whatever name it has for its variable; None for None. Only arithmetic is evaluated.

    Args:
      functions: module of cos, exp and so on: NumPy where the result is to be float64 on the host.
    """
    if text is None:
        return None
    tree = ast.parse(text.split("->")[-1].strip().replace("^", "**"), mode="eval").body

    def value(node, x):
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id="pi"):
                return 3.141592653589793
            case ast.Name():
                return x
            case ast.UnaryOp(op=op, operand=a):
                return OPERATIONS[type(op)](value(a, x))
            case ast.BinOp(left=a, op=op, right=b):
                return OPERATIONS[type(op)](value(a, x), value(b, x))
            case ast.Call(func=ast.Name(id=name), args=[a], keywords=[]) if name in FUNCTIONS:
                return getattr(functions, name)(value(a, x))
        raise AssertionError(f"no test knows the formula {text!r}")

    return lambda x: value(tree, x)
