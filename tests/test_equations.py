"""docs/understand/equations.md: every function is imported, every test looked up, every table whole and in order."""

import ast
import re
from functools import cache

import pytest

from tests.support.commands import ROOT
from tests.support.names import resolve

TEXT = (ROOT / "docs" / "understand" / "equations.md").read_text()
KINDS = ["Eq.", "Alg.", "Table", "Sec.", "App."]
HEAD = ["number", "what", "function", "test"]
PAPERS = re.findall(r"^## (.+)\n((?:.+\n|\n)*?)(?=^## |\Z)", TEXT, re.MULTILINE)


def rows(table):
    """Cells of a paper's table, its head and rule first."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


ROWS = [pytest.param(*row, id=f"{paper.split(':')[0]}-{row[0]}") for paper, table in PAPERS for row in rows(table)[2:]]


@cache
def functions_of(path):
    """Names of the functions of a file."""
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def place(number):
    """Where a number stands in its paper: "Eq. 6, 7" -> (0, (6,)), "App. B.3" -> (4, ("B", 3))."""
    kind, first = re.match(r"(\S+) ([\w.]+)", number).groups()
    return KINDS.index(kind), tuple(
        (part.isdigit(), int(part) if part.isdigit() else part) for part in first.split(".")
    )


@pytest.mark.parametrize(("paper", "table"), PAPERS, ids=[paper.split(":")[0] for paper, _ in PAPERS])
def test_tables_are_whole_and_in_order(paper, table):
    assert re.fullmatch(r".+: .+ \d{4} \(\d{4}\.\d{5}\)", paper), f"{paper}: name, authors, year, arXiv number"
    head, _, *body = rows(table)
    assert head == HEAD
    assert all(len(row) == len(HEAD) and all(row) for row in body), f"{paper}: every row has every column"
    numbers = [row[0] for row in body]
    assert numbers == sorted(numbers, key=place), f"{paper}: numbers rise"


@pytest.mark.parametrize(("number", "what", "function", "test"), ROWS)
def test_functions_and_tests_exist(number, what, function, test):
    resolve(function.strip("`"))
    path, name = test.strip("`").split("::")
    assert name in functions_of(path), f"{number}, {what}: there is no test {name} in {path}"
