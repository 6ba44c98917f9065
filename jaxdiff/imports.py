"""Lazy imports, and imports of packages that only an extra installs."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

DISTRIBUTIONS = {"PIL": "Pillow", "sklearn": "scikit-learn"}
"""What pip calls a package whose import has another name."""


class MissingExtra(ImportError):
    """A package is missing that an extra of jaxdiff installs; the message is one line that names the extra."""


@contextmanager
def needs(extra: str, by: str) -> Iterator[None]:
    """Wrap the imports of packages that are no dependency of jaxdiff itself but of one of its extras.

    Args:
      extra: a name under [project.optional-dependencies] in pyproject.toml.
      by: what needs the packages, usually `__name__`.
    Raises: MissingExtra where an import fails, whatever it fails with: a package may be there and broken.
    Example:
      >>> with needs("data", by="jaxdiff.data.folder"):
      ...     import no_such_package
      Traceback (most recent call last):
      jaxdiff.imports.MissingExtra: jaxdiff.data.folder needs no-such-package: pip install 'jaxdiff[data]'
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name:
            root = error.name.split(".")[0]
            package, cause = DISTRIBUTIONS.get(root, root.replace("_", "-")), None
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
            package, cause = f"jaxdiff[{extra}] ({reason})", error
        raise MissingExtra(f"{by} needs {package}: pip install 'jaxdiff[{extra}]'") from cause


def lazy(
    package: str, modules: Iterable[str] = (), names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a package that imports its contents when they are first asked for.

    Args:
      package: its `__name__`.
      modules: its submodules to give.
      names: {name: the submodule that defines it}; no name may be a submodule's too, which an import would put there.
    Returns: two functions for the package's own names `__getattr__` and `__dir__` (PEP 562). An unknown name raises
      AttributeError.
    Example:
      >>> get, list_names = lazy("jaxdiff", modules=["grids"], names={"expand": "types"})
      >>> get("grids").__name__, get("expand").__module__, "expand" in list_names()
      ('jaxdiff.grids', 'jaxdiff.types', True)
    """
    homes = dict(names or {})
    available = {*modules, *homes}

    def get(name: str) -> Any:
        if name not in available:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=sys.modules[package])
        found = importlib.import_module(f"{package}.{homes.get(name, name)}")
        return getattr(found, name) if name in homes else found

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *available})

    return get, list_names
