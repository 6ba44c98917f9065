"""Execute a notebook in its folder by a kernel of this Python, and keep what it shows: execute.py NOTEBOOK."""

import sys
from pathlib import Path

import nbclient
import nbformat

path = Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
try:
    nbclient.NotebookClient(notebook, timeout=None, resources={"metadata": {"path": path.parent}}).execute()
except nbclient.exceptions.CellExecutionError as error:
    raise SystemExit(f"{path.name}: {error}") from None
finally:
    nbformat.write(notebook, path)
