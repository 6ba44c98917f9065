"""Where every public name of jaxdiff is shown: at the outermost package whose face gives it."""

import ast
import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
TOP = "jaxdiff"


def modules(package: Path) -> list[str]:
    """Return the dotted names of a package's files, faces first."""
    files = sorted(package.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name))
    return [".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in files]


def keep(folder: Path, pages: dict[str, str]) -> None:
    """Write the pages that a build makes, and remove those of before; what has not changed is not built again."""
    folder.mkdir(exist_ok=True)
    for stale in {path.name for path in folder.iterdir() if path.is_file()} - set(pages):
        (folder / stale).unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


@cache
def everything() -> list[str]:
    """Return the names of all modules, the package's own first."""
    return modules(ROOT / TOP)


class Definition(NamedTuple):
    """A public name's statement and docstring, as its file has them."""

    node: ast.stmt
    text: str


@cache
def definitions(path: str) -> dict[str, Definition]:
    """Return what a module defines: functions, classes, values, names of types; constants with a docstring."""
    module = importlib.import_module(path)
    tree = ast.parse(Path(module.__file__ or "").read_text())
    public = getattr(module, "__all__", ())
    found = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = Definition(node, ast.get_docstring(node) or "")
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, said = node.targets[0].id, isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if said or names_type(node) or name in public or name.islower():
                found[name] = Definition(node, inspect.cleandoc(str(after.value.value)) if said else "")
        elif isinstance(node, ast.ImportFrom) and not node.module.startswith(TOP):
            for name in {alias.name for alias in node.names} & set(public):
                found[name] = Definition(ast.parse(f"{name} = {node.module}.{name}").body[0], "")
    return {name: it for name, it in found.items() if (name in public if public else not name.startswith("_"))}


def names_type(node: ast.stmt) -> bool:
    """Whether an assignment names a type: a capital, then small letters, and what is no value."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and re.match("[A-Z].*[a-z]", node.targets[0].id) is not None
        and not isinstance(node.value, ast.Call | ast.Constant | ast.Dict | ast.List | ast.Tuple)
    )


@cache
def place(path: str, name: str) -> str:
    """Return the outermost package whose face lists the same object under the same name."""
    obj = getattr(importlib.import_module(path), name)
    parts = path.split(".")
    for i in range(2, len(parts)):
        face = importlib.import_module(".".join(parts[:i]))
        if name in getattr(face, "__all__", ()) and getattr(face, name) is obj:
            return ".".join(parts[:i])
    return path


@cache
def index() -> dict[str, list[tuple[str, str]]]:
    """Return for every public name the modules that define one, each with the place where it is shown."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in everything():
        for name in definitions(path):
            found.setdefault(name, []).append((path, place(path, name)))
    return found


@cache
def shown() -> dict[str, str]:
    """Return where every full name leads: of what is defined and of what faces give."""
    found = {name: name for name in everything()}
    for name, entries in index().items():
        for path, where in entries:
            found[f"{path}.{name}"] = found[f"{where}.{name}"] = f"{where}.{name}"
    for path in everything():
        module = importlib.import_module(path)
        for name in getattr(module, "__all__", ()):
            for full in same(name, getattr(module, name)):
                found.setdefault(f"{path}.{name}", full)
    return found


def same(name: str, obj: Any) -> list[str]:
    """Return the full names of what is defined under a name and is the given object."""
    return [f"{at}.{name}" for path, at in index().get(name, ()) if getattr(importlib.import_module(path), name) is obj]


def statement(full: str) -> tuple[str, int] | None:
    """Return the file, below the repository, and the line of what is shown under a full name."""
    where, _, name = full.rpartition(".")
    for path, at in index().get(name, ()):
        if at == where:
            file = Path(importlib.import_module(path).__file__ or "")
            return file.relative_to(ROOT).as_posix(), definitions(path)[name].node.lineno
    return None


@cache
def endings() -> dict[str, set[str]]:
    """Return for what full names end with, `betas.sigmas`, where that may lead."""
    found = defaultdict(set)
    for full, to in shown().items():
        parts = full.split(".")
        for i in range(1, len(parts)):
            found[".".join(parts[i:])].add(to)
    return found


def readings(text: str, module: ModuleType) -> Iterator[str]:
    """Full names that a name may stand for in a module: as Python reads it there, then as people do."""
    head, *rest = text.split(".")
    found = vars(module).get(head)
    if isinstance(found, ModuleType):
        yield ".".join([found.__name__, *rest])
    elif found is not None:
        yield from (".".join([full, *rest]) for full in same(head, found))
    parts = module.__name__.split(".")
    yield from (".".join([*parts[:i], text]) for i in range(len(parts), 0, -1))
    yield text
    only = endings().get(text, set()) if rest else {f"{at}.{head}" for _, at in index().get(head, ())}
    if len(only) == 1 and len(text) > 3:  # `x0` and `v` are more often mathematics
        yield from only


def find(text: str, module: ModuleType) -> str | None:
    """Return where the name in a module's text leads, or None where it is no public name, or one of several."""
    return next((shown()[full] for full in readings(text, module) if full in shown()), None)


def room(obj: Any, full: str) -> ModuleType:
    """Return the module in which an object, shown under a full name, was written."""
    path = full if isinstance(obj, ModuleType) else getattr(obj, "__module__", None) or full
    path = path if path.startswith(TOP + ".") else full
    while path not in everything():
        path = path[: path.rindex(".")]
    return importlib.import_module(path)
