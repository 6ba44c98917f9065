"""The blocks of Python in a document, which are examples that run."""

import re

FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXEMPT = re.compile(r"<!-- not run: (\S.*) -->\n\Z")
QUOTE = re.compile(r"^```py\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""Shown in the same colours and not run, because it stands in a file of the repository."""
OTHERWISE = re.compile(
    r"^(?:[ \t]+```|`{4,}|~~~+)[ \t]*python|^[ \t]*```+[ \t]*(?:\{code[\w-]*\}[ \t]*python|python3|py3)", re.MULTILINE
)
"""Ways to write a block of Python that nothing would run."""


def blocks(document):
    """The blocks that run, as [(line, code)], without those that say on the line before why they do not."""
    text = document.read_text()
    wrong = OTHERWISE.search(text)
    assert not wrong, f"{document.name}: write {wrong[0].strip()!r} as ```python at the beginning of a line"
    found = [(text[: match.start(1)].count("\n"), match) for match in FENCE.finditer(text)]
    return [(line, match[1]) for line, match in found if not EXEMPT.search(text[: match.start()])]


def run(document, **names):
    """Execute a document's blocks in order, in one namespace, which is returned; errors name the document's line."""
    for line, code in blocks(document):
        exec(compile("\n" * line + code, str(document), "exec"), names)
    return names
