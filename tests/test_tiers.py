"""The tiers: what runs is what was asked for, and the default one holds a test of every file."""

import ast
import tomllib

import pytest

from tests.support.commands import ROOT

FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def is_full(decorator):
    """Whether it is pytest.mark.full, with or without arguments."""
    return ast.unparse(decorator).startswith("pytest.mark.full")


def test_plain_pytest_runs_the_default_tier():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert '-m "not full"' in settings["addopts"]


def test_no_test_runs_in_the_other_tier(request):
    """Of all that was collected for this session."""
    asked = request.config.option.markexpr
    items = request.session.items
    tiers = {tier: {i.nodeid for i in items if i.get_closest_marker(tier)} for tier in ("full", "release")}
    assert tiers["release"] <= tiers["full"], "what the default tier holds is not left to a release"
    if asked in tiers:
        assert tiers[asked] == {item.nodeid for item in items}
    elif asked in (asks_no := {f"not {tier}": tier for tier in tiers}):
        assert not tiers[asks_no[asked]]
    else:
        assert asked == "" or not tiers["full"], f"-m {asked!r} is no tier"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_default_tier_holds_a_test_of_every_file(path):
    tree = ast.parse(path.read_text())
    of_module = [
        node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets) == "pytestmark"
    ]
    assert not any("mark.full" in ast.unparse(node) for node in of_module), "a whole file is a kind"
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert any(not any(map(is_full, test.decorator_list)) for test in tests)
