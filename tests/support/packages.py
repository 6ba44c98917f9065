"""What pyproject.toml declares, and what the modules of this repository import of it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(name):
    """PyPI's one spelling of a name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements):
    """Distributions that a list of requirements names, with those of the extras of jaxdiff that it names."""
    found = set()
    for requirement in requirements:
        if extras := re.fullmatch(r"jaxdiff\[(.*)\]", requirement):
            found |= {name for extra in extras[1].split(",") for name in EXTRAS[extra.strip()]}
        else:
            found.add(normal(re.match(r"[\w.-]+", requirement)[0]))
    return found


CORE = declared(PROJECT["dependencies"])
EXTRAS = {}
"""{extra: the distributions that it adds to those of the core}."""
for _name, _requirements in PROJECT["optional-dependencies"].items():  # an extra names earlier ones only
    EXTRAS[_name] = declared(_requirements)

PROVIDERS = packages_distributions()


def distributions(package):
    """Distributions that a package may come from: one of them must be declared where it is imported."""
    return {normal(name) for name in PROVIDERS.get(package, [package])}


OPTIONAL = {p for p in PROVIDERS if distributions(p) & set().union(*EXTRAS.values()) and not distributions(p) & CORE}
"""Packages, as they are imported, that only an extra installs."""


def imported(path):
    """(packages, extras) of a file: what it imports absolutely, lazily too, and what its `with needs(...)` name."""
    packages, extras = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            packages.add(node.module.split(".")[0])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "needs":
            extras.add(ast.literal_eval(node.args[0]))
    return packages - sys.stdlib_module_names - {"jaxdiff"}, extras


MESSAGE = re.compile(r"([\w.]+) needs ([\w.-]+): pip install 'jaxdiff\[(\w+)\]'")
"""What `needs` says: (module, package, extra)."""
