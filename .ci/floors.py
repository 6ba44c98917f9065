"""Print the lowest versions that pyproject.toml allows, as constraints for pip: name>=1.2 becomes name==1.2."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    print(re.sub(r"^([\w.-]+)>=([\w.]+).*", r"\1==\2", requirement))
print(f"jaxlib=={next(r.split('>=')[1] for r in project['dependencies'] if r.startswith('jax>='))}")
