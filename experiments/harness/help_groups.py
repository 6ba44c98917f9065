"""`--help` in boxes: the flags of a dataclass by the groups that it names, in their order, the rest between.

A config says `help_groups: ClassVar = {"data": ("data", "held_out"), REST: (), ...}`. Flags that no group names, a
system's own, stand where REST does.
"""

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import tyro

T = TypeVar("T")
REST = "method"
Groups = Mapping[str, tuple[str, ...]]


class Grouped(NamedTuple):
    """A dataclass of dataclasses, one a group, for tyro; join(parsed) -> the flat one that it stands for."""

    config_type: Any
    join: Callable[[Any], Any]


def grouped(config_type: type[T], groups: Groups) -> Grouped:
    """Cut a flat dataclass into one a group, with the same flags.

    Example:
      >>> from experiments.harness.devices import Devices
      >>> found = grouped(Devices, {"network": ("dtype", "remat"), REST: ()})
      >>> found.join(tyro.cli(found.config_type, args=["--fsdp", "2"])).fsdp, list(vars(found.config_type()))
      (2, ['network', 'method'])
    """
    flags = {field.name: field for field in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    texts, hints = texts_of(config_type), get_type_hints(config_type, include_extras=True)
    named = {name for names in groups.values() for name in names}
    boxes = []
    for title, names in groups.items():
        inside = [name for name in flags if name not in named] if title == REST else names
        box = [_flag(flags[name], hints[name], texts.get(name)) for name in inside if name in flags]
        if box:
            kind = dataclasses.make_dataclass(title, box, namespace={"__doc__": ""}, kw_only=True)
            boxes.append((title, kind, dataclasses.field(default_factory=kind)))
    whole: Any = dataclasses.make_dataclass(config_type.__name__, boxes, namespace={"__doc__": config_type.__doc__})

    def join(parsed: Any) -> T:
        return config_type(**{name: value for box in vars(parsed).values() for name, value in vars(box).items()})

    return Grouped(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(whole), join)


def _flag(field: dataclasses.Field, hint: Any, text: str | None) -> tuple[str, Any, Any]:
    """A field again, its text as an annotation: a class that is made has no source to read it from."""
    default: Any = dataclasses.field(default=field.default, default_factory=field.default_factory)  # type: ignore[call-overload]
    return field.name, Annotated[hint, tyro.conf.arg(help=text)] if text else hint, default


def texts_of(config_type: type) -> dict[str, str]:
    """Return the strings that stand under a dataclass's fields, the most derived class's."""
    found = {}
    for base in reversed(config_type.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
                text = ast.literal_eval(after.value)
                found[node.target.id] = " ".join(text.split())
    return found
