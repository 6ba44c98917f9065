"""Docstrings keep their form: verb and noun, equation, Args, Raises and a runnable example, for every public function.

The form is that of CONTRIBUTING. `docstring_exceptions.txt` lists what does not have it yet; it only shrinks, since a
function on the list that has the form fails as well. At the end nothing but methods of protocols stands there.
"""

import ast

import pytest

from tests.support.commands import ROOT

FILES = sorted((ROOT / "jaxdiff").rglob("*.py"))
EXCEPTIONS = set((ROOT / "tests" / "docstring_exceptions.txt").read_text().split())
# Imperatives that open a docstring; add one where none of these says it.
VERBS = set((ROOT / "tests" / "docstring_verbs.txt").read_text().split())


def public_functions(tree):
    """(qualified name, node, number of its arguments without self) of functions and methods without an underscore."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, count_arguments(node)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method, count_arguments(method) - 1


def count_arguments(node):
    """How many arguments a function has, `*args` and `**kwargs` among them."""
    spec = node.args
    named = spec.posonlyargs + spec.args + spec.kwonlyargs
    return len(named) + (spec.vararg is not None) + (spec.kwarg is not None)


def raises(node):
    """Whether the function itself raises ValueError in its own body, not in a function inside it."""
    inner = {id(n) for f in ast.walk(node) if f is not node and isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    return any(
        isinstance(n, ast.Raise) and id(n) not in inner and n.exc is not None and "ValueError" in ast.unparse(n.exc)
        for n in ast.walk(node)
    )


def faults(name, node, arguments):
    """What a docstring lacks, as words; methods need neither verb nor example where their class has one."""
    text = ast.get_docstring(node) or ""
    if not text:
        return ["a docstring"]
    lacks = []
    first = text.split()[0].strip(",.:`").capitalize()
    if "." not in name and first not in VERBS:
        lacks.append(f"a first line that begins with a verb (docstring_verbs.txt), instead of {text.split()[0]!r}")
    if "." not in name and ">>>" not in text:
        lacks.append("an Example that runs")
    if arguments >= 2 and "Args:" not in text:
        lacks.append("Args")
    if raises(node) and "Raise" not in text:
        lacks.append("Raises")
    return lacks


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_have_the_form(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name, node, arguments in public_functions(ast.parse(path.read_text())):
        found, excused = faults(name, node, arguments), f"{module}.{name}" in EXCEPTIONS
        assert excused or not found, f"{module}.{name} lacks {', '.join(found)}"
        assert not excused or found, f"{module}.{name} has the form: strike it from docstring_exceptions.txt"


def test_exceptions_exist():
    known = {
        f"{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}.{name}"
        for path in FILES
        for name, _, _ in public_functions(ast.parse(path.read_text()))
    }
    assert not EXCEPTIONS - known, "there are no such functions (any more): strike them"
