"""docs/gallery.md, made of the table."""

import inspect
import re
from collections.abc import Sequence

from benchmarks.gallery import digits
from benchmarks.gallery.item import Item
from benchmarks.gallery.items import ITEMS, RUNS

HEAD = """# Gallery

Every picture here is made by the commands below it, in a clone of this repository with the extra `experiments`. All of
them, this page included, with what is not yet trained in `runs/`, are made by

```bash
python -m benchmarks.gallery
```

and one by `--only NAME`. A function that draws a picture stands below it and takes the folder of the runs; what it
shares with others is in `benchmarks/gallery/digits.py`.
"""


def text(items: Sequence[Item] = ITEMS) -> str:
    """Write the page."""
    return "\n".join([HEAD, *map(section, items)])


def section(item: Item) -> str:
    """Write one picture, its commands, and its code."""
    again = () if item.commands else (f"python -m benchmarks.gallery --only {item.name}",)
    commands = [*(RUNS[run] for run in item.runs), *item.commands, *(again if item.code else ())]
    parts = [
        f"## {item.title}",
        item.about,
        f"![{item.title}](img/{item.picture})",
        "\n".join(["```bash", *map(broken, commands), "```"]),
    ]
    if item.code:
        shared = [inspect.getsource(digits.edited)] if "edited(" in item.code else []
        code = "\n\n".join([*shared, item.code]).rstrip()
        parts.append(f"<details>\n<summary>The function that draws it</summary>\n\n```py\n{code}\n```\n\n</details>")
    return "\n\n".join(parts) + "\n"


def broken(command: str) -> str:
    """Break a long command before a flag, as a shell reads it."""
    lines = [""]
    for part in re.split(r" (?=--)", command):
        if lines[-1] and len(lines[-1]) + len(part) > 78:
            lines.append("")
        lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n    ".join(lines)
