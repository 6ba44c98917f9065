"""Run the first code cell of a notebook, which installs jaxdiff where it is missing: first_cell.py NOTEBOOK."""

import json
import sys
from pathlib import Path

cells = json.loads(Path(sys.argv[1]).read_text())["cells"]
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).parent]
exec("".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code")), {"__name__": "__main__"})
