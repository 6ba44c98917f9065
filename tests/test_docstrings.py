"""Docstrings keep their form for every public function: verb and noun, Args, Raises and an example that runs.

The form is that of CONTRIBUTING, which also asks for the equation, shapes and source: those a person must read.
"""

import ast
import doctest

import pytest

from tests.support.commands import ROOT

FILES = sorted((ROOT / "jaxdiff").rglob("*.py"))
# Imperatives that open a docstring; add one where none of these says it.
VERBS = set((ROOT / "tests" / "docstring_verbs.txt").read_text().split())
BAD = '''
def noise(x, sigma):
    """Sample of noise.

    Example:
      >>> noise(0, 1)  # doctest: +SKIP
    """
    raise ValueError("never")

class Noise:
    def scale(self, x, sigma):
        """Noise at another level."""
'''


def public_functions(tree, prefix=""):
    """(qualified name, node) of functions and methods without an underscore, properties left out."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public_functions(node, f"{node.name}.")
        elif "property" not in map(ast.unparse, node.decorator_list):
            yield prefix + node.name, node


def count_arguments(node):
    """How many arguments a function has, `*args` and `**kwargs` among them, but not self."""
    spec = node.args
    named = [arg.arg for arg in spec.posonlyargs + spec.args + spec.kwonlyargs]
    return len(named) - (named[:1] == ["self"]) + (spec.vararg is not None) + (spec.kwarg is not None)


def raises(node):
    """Whether the function itself raises ValueError in its own body, not in a function inside it."""
    inner = {id(n) for f in ast.walk(node) if f is not node and isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    return any(
        isinstance(n, ast.Raise) and id(n) not in inner and n.exc is not None and "ValueError" in ast.unparse(n.exc)
        for n in ast.walk(node)
    )


def faults(name, node):
    """What a docstring lacks, as words; methods need no example of their own."""
    text = ast.get_docstring(node) or ""
    if not text:
        return ["a docstring"]
    lacks = []
    first, second, *_ = [*text.split(), ""]
    if first.strip(",.:;`").capitalize() not in VERBS or second == "of":
        lacks.append(f"a first line that begins with a verb (docstring_verbs.txt), instead of {first!r}")
    examples = doctest.DocTestParser().get_examples(text)
    if "." not in name and not any(not example.options.get(doctest.SKIP) for example in examples):
        lacks.append("an Example that runs")
    if count_arguments(node) >= 2 and "Args:" not in text:
        lacks.append("Args")
    if raises(node) and "Raise" not in text:
        lacks.append("Raises")
    return lacks


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_have_the_form(path):
    for name, node in public_functions(ast.parse(path.read_text())):
        lacks = faults(name, node)
        assert not lacks, f"{path.relative_to(ROOT)}: {name} lacks {', '.join(lacks)}"


def test_what_lacks_the_form_is_found():
    found = {name: " ".join(faults(name, node)) for name, node in public_functions(ast.parse(BAD))}
    assert all(word in found["noise"] for word in ("verb", "Example", "Args", "Raises"))
    assert all(word in found["Noise.scale"] for word in ("verb", "Args"))
