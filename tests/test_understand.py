"""Each family's page has the same parts: both notations, a call that asserts, how it is verified, what differs."""

import re

import pytest

from tests.support.commands import ROOT

FOLDER = ROOT / "docs" / "understand"
FAMILIES = ["edm", "ddpm", "elbo", "score_sde", "consistency", "ddgan"]
PARTS = ["Notation", "Equations", "How it is verified"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_is_whole(family):
    text = (FOLDER / f"{family}.md").read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [title for title in titles if title in PARTS] == PARTS
    assert re.fullmatch("What differs from the references?", titles[-2])
    assert titles[-1] in ("Train it", "Compute it")
    assert "| paper | where | here | function |" in text
    assert re.search(r"python -m experiments\.\w+", text)
    assert all((ROOT / "notebooks" / f"{name}.py").exists() for name in re.findall(r"\{doc\}`/notebooks/(\w+)`", text))
    assert re.search(r"^```python\n(?:(?!```).*\n)*assert ", text, re.MULTILINE)
    assert f"({family}.md)" in (FOLDER / "index.md").read_text()
