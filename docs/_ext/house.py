"""Sphinx shows this project's docstrings: their sections, their backticks, and signatures as they are written."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from places import TOP, find, room
from sphinx.application import Sphinx

TITLES = "Args|Attributes|Call|Returns|Raises|Returns, Raises|Reference|Example"
SECTION = re.compile(rf"^({TITLES}):(?: (.*))?$")
CALL = r"\*{0,2}\w+(?:\([^()]*\)(?: -> [^:]+)?)?"
NAMES = re.compile(rf"^({CALL}(?:, {CALL})*): (.*)$")
NAME = re.compile(r"^[A-Za-z_]\w*(\.\w+)*$")
Link = Callable[[str], str | None]
"""Where a name in the docstring at hand leads, or None."""


def prose(text: str, link: Link) -> str:
    """Turn Markdown's code into reStructuredText's, names with a place into links, and escape what is no markup."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(_code(part, link) if i % 2 else _words(part) for i, part in enumerate(parts))


def _words(text: str) -> str:
    return re.sub(r"([\\*|_`])", r"\\\1", text)


def _code(text: str, link: Link) -> str:
    found = link(text) if NAME.match(text) else None
    # The empty words let code stand next to letters.
    return f"\\ :py:obj:`{text} <{found}>`\\ " if found else f"\\ ``{text}``\\ "


def sections(lines: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Split a docstring: (title, what stands on its line, the lines under it); what comes first has no title."""
    title, inline, under = "", "", []
    for line in lines:
        if found := SECTION.match(line):
            yield title, inline, under
            title, inline, under = found[1], found[2] or "", []
        else:
            under.append(line)
    yield title, inline, under


def paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Split at blank lines."""
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        if block.strip():
            yield block.splitlines()


def is_equation(block: list[str]) -> bool:
    """Whether a paragraph is an equation in ASCII, which keeps its lines: it has "=" or "~" and is no sentence."""
    text = " ".join(block)
    return bool(re.search(r" (=|~|<=) ", text)) and not text.rstrip().endswith((".", ":")) and "`" not in text


def is_list(block: list[str]) -> bool:
    """Whether each line says something of a name, `step(x) -> x: moves`, but for those that go on, indented."""
    return block[0][0].islower() and all(line.startswith(" ") or NAMES.match(line) for line in block)


def to_rst(lines: list[str], link: Link) -> list[str]:
    """Turn a docstring of the house's form into reStructuredText."""
    out: list[str] = []
    for title, inline, under in sections(lines):
        body = textwrap.dedent("\n".join(under)).splitlines()
        if not title:
            for block in paragraphs(body):
                if is_equation(block):
                    out += ["::", "", *("    " + line for line in block), ""]
                elif block[0].startswith("    "):
                    out += [".. code-block:: python", "", *block, ""]
                elif is_list(block):
                    out += [*bullets(block, link), ""]
                else:
                    out += [prose(" ".join(line.strip() for line in block), link), ""]
        elif title == "Example":
            out += ["", ".. rubric:: Example", ""]
            out += [prose(inline, link), ""] if inline else []
            out += [".. code-block:: pycon", "", *("    " + line for line in body), ""] if body else []
        elif title in ("Args", "Attributes") and not inline:
            out += [f":{title}:", *("    " + line for line in bullets(body, link))]
        else:
            text = " ".join([inline, *(line.strip() for line in body)]).strip()
            out += [f":{title}: {prose(text, link)}"]
    return [*out, ""]


def bullets(lines: list[str], link: Link) -> list[str]:
    """Write a list of names, each with the lines that go on with it."""
    items: list[str] = []
    for line in lines:
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        elif line.strip():
            items.append(line.strip())
    return [f"* {prose(NAMES.sub(lambda m: f'`{m[1]}`: {m[2]}', item), link)}" for item in items]


def arguments(obj: Any) -> set[str]:
    """Return the names of what an object is called with or holds; in its docstring they are its own."""
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    module, own = room(obj, name), arguments(obj) if callable(obj) else set()
    lines[:] = to_rst(lines, lambda text: None if text.split(".")[0] in own else find(text, module))


class Linked(ast.NodeTransformer):
    """Names of this library in an annotation, as Sphinx wants a link that is shown short: ~jaxdiff.types.Denoiser."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = find(node.id, self.module)
        return ast.parse(f"~{found}", mode="eval").body if found else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        found = find(ast.unparse(node), self.module)
        return ast.parse(f"~{found}", mode="eval").body if found else node


def annotated(spec: ast.arguments, linked: Linked) -> str:
    """Write parameters; only their annotations have links."""
    for arg in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]:
        if arg and arg.annotation:
            arg.annotation = linked.visit(arg.annotation)
    return ast.unparse(spec)


def fields(cls: type) -> Iterator[str]:
    """Write the fields of a NamedTuple, dataclass or network, with those of what it extends in this library."""
    found = {}
    for base in reversed(cls.__mro__):
        node = source(base) if base.__module__.startswith(TOP + ".") else None
        for line in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                value = f" = {ast.unparse(line.value)}" if line.value else ""
                kind = ast.unparse(Linked(sys.modules[base.__module__]).visit(line.annotation))
                found[line.target.id] = f"{line.target.id}: {kind}{value}"
    yield from found.values()


def source(obj: Any) -> ast.stmt | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None


def signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str, returns: str) -> Any:
    """Show annotations by the names that the source has, `Batch` and not what it stands for."""
    if what not in ("function", "method", "class"):
        return None
    node = source(inspect.unwrap(obj))
    if isinstance(node, ast.ClassDef):
        if hasattr(obj, "_fields") or hasattr(obj, "__dataclass_fields__"):
            return f"({', '.join(fields(obj))})", None
        node = next((part for part in node.body if getattr(part, "name", "") == "__init__"), None)
    if not isinstance(node, ast.FunctionDef):
        return None
    linked, spec = Linked(room(obj, name)), node.args
    if spec.args and spec.args[0].arg in ("self", "cls"):
        spec.args = spec.args[1:]
    back = ast.unparse(linked.visit(node.returns)) if node.returns and what != "class" else None
    return f"({annotated(spec, linked)})", back


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out fields, which stand in the signature, and what is not of this library."""
    if isinstance(obj, property):
        return None
    code = inspect.unwrap(getattr(obj, "__func__", obj))
    method = inspect.isfunction(code) and code.__qualname__.count(".") == 1 and code.__module__.startswith(TOP + ".")
    return None if method else True


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
