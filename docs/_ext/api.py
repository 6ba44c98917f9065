"""Sphinx's API reference: a page a room, with every public name at the place from which it is imported."""

import ast
import importlib
from pathlib import Path
from typing import Any

import house
from places import TOP, definitions, everything, find, index, keep, modules, names_type, place, shown
from sphinx.application import Sphinx

INDEX = """API reference
=============

Every public name, at the shortest place from which it is imported. ``import jaxdiff as jd`` gives every room as
``jd.samplers``, ``jd.grids`` and so on, and these names themselves: {verbs}.

{rows}

.. toctree::
   :hidden:

{rooms}
"""


def heading(path: str, title: str, line: str) -> list[str]:
    """Write a module's title and what it says of itself; its name is a target unless a function has the same one."""
    taken = any(path == f"{where}.{name}" for name, entries in index().items() for _, where in entries)
    hide = ["   :no-index:"] if taken else []
    return [title, line * len(title), "", f".. automodule:: {path}", "   :no-members:", *hide, ""]


def page(room: str) -> str:
    """Write the page of a room: its face, then each file's names, where the face has them under the face."""
    face = importlib.import_module(room)
    lines = heading(room, room, "=")
    for path in modules(Path(face.__file__ or "").parent) if hasattr(face, "__path__") else [room]:
        found = definitions(path)
        if path != room and (found or hasattr(importlib.import_module(path), "__path__")):
            lines += heading(path, path.removeprefix(room + "."), "-")
        for name in found:
            where = place(path, name)
            lines += [f".. currentmodule:: {where}", "", *entry(path, where, name), ""]
    return "\n".join(lines)


def entry(path: str, where: str, name: str) -> list[str]:
    """Write the entry of a name; of a constant or type from its source, since what it equals says other things."""
    node, text = definitions(path)[name]
    if isinstance(node, ast.ClassDef):
        return [f".. autoclass:: {name}"]
    if isinstance(node, ast.FunctionDef):
        return [f".. autofunction:: {name}"]
    module = importlib.import_module(path)
    head = [f".. py:data:: {name}", f"   :value: {shortened(ast.unparse(node.value))}"]
    if names_type(node):
        head = [f".. py:type:: {name}", f"   :canonical: {ast.unparse(house.Linked(module).visit(node.value))}"]
    return [*head, "", *("   " + line for line in house.to_rst(text.splitlines(), lambda word: find(word, module)))]


def shortened(value: str) -> str:
    return value if len(value) <= 100 else value[:90].rsplit(" ", 1)[0] + " ..."


def contents(rooms: list[str]) -> str:
    """Write the page that leads to the rooms, with what the package itself gives."""
    verbs = (f":py:obj:`jd.{verb} <{shown()[f'{TOP}.{verb}']}>`" for verb in importlib.import_module(TOP).VERBS)
    modules = (importlib.import_module(f"{TOP}.{room}") for room in rooms)
    said = [house.prose((module.__doc__ or "").splitlines()[0], lambda word: None) for module in modules]
    rows = "\n".join(f"* :doc:`{TOP}.{room} <{room}>`: {line}" for room, line in zip(rooms, said, strict=True))
    return INDEX.format(verbs=", ".join(verbs), rows=rows, rooms="\n".join(f"   {room}" for room in rooms))


def write(app: Sphinx) -> None:
    rooms = sorted({path.split(".")[1] for path in everything() if path != TOP})
    pages = {f"{room}.rst": page(f"{TOP}.{room}") for room in rooms} | {"index.rst": contents(rooms)}
    keep(Path(app.srcdir) / "api", pages)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
