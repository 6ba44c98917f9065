"""Fail unless pip's report names the versions that are installed here: resolved.py REPORT.json PACKAGE..."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

report = json.loads(Path(sys.argv[1]).read_text())["install"]
found = {item["metadata"]["name"]: item["metadata"]["version"] for item in report}
for name in sys.argv[2:]:
    print(f"{name}: {found.get(name)} would be installed, {version(name)} was tested")
    if found.get(name) != version(name):
        sys.exit(f"{name} was not tested in that version")
