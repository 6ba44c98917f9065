"""Notebooks as pages: copied from notebooks/, with a link to Colab in words instead of a picture from the network."""

import json
import re
from pathlib import Path
from typing import Any

from places import ROOT, keep
from sphinx.application import Sphinx

FIRST = "start_here"
COLAB = "https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks"
BADGE = re.compile(r"\[!\[[^\]]*\]\([^)]*\)\]\((\S+)\)")
INDEX = """Notebooks
=========

Each runs from an empty folder, on Colab or here, and says how long it takes. In the repository they lie in
``notebooks/`` without outputs. This site shows outputs where it was built with ``-D nb_execution_mode=force``.

{rows}

.. toctree::
   :hidden:

{names}
"""


def prepared(path: Path) -> dict[str, Any]:
    """Return a notebook whose first cell has a link to Colab in words; the second, which installs, is folded."""
    notebook = json.loads(path.read_text())
    cell = notebook["cells"][0]
    text = BADGE.sub(f"[Open in Colab]({COLAB}/{path.name})", "".join(cell["source"]))
    first, *rest = notebook["cells"][1:]
    folded = {**first, "metadata": {**first["metadata"], "tags": ["hide-input"]}}
    return {**notebook, "cells": [{**cell, "source": text}, folded, *rest]}


def row(path: Path) -> str:
    """Write the index's line of a notebook: its first paragraph, below its title, and the way to Colab."""
    below = "".join(prepared(path)["cells"][0]["source"]).partition("\n")[2]
    paragraphs = [text for text in re.split(r"\n\s*\n|\n(?=- )", below.strip()) if "Open in Colab" not in text]
    return f"* :doc:`{path.stem}`: {' '.join(paragraphs[0].split())} `Open in Colab <{COLAB}/{path.name}>`__"


def write(app: Sphinx) -> None:
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"), key=lambda path: (path.stem != FIRST, path.name))
    pages = {path.name: json.dumps(prepared(path)) for path in paths}
    names = "\n".join(f"   {path.stem}" for path in paths)
    pages["index.rst"] = INDEX.format(rows="\n".join(map(row, paths)), names=names)
    keep(Path(app.srcdir) / "notebooks", pages)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
