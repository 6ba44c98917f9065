"""What the package says of itself: one version, a citation with what its format asks for, links."""

import tomllib

import pytest
import yaml

import jaxdiff
from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_there_is_one_version():
    assert PROJECT["version"] == jaxdiff.__version__ == str(CITATION["version"])


@pytest.mark.parametrize("field", ["cff-version", "message", "title", "authors"])
def test_the_citation_has_what_its_format_requires(field):
    assert CITATION[field]


def test_the_citation_names_a_paper_of_each_family():
    papers = {reference["url"].rsplit("/", 1)[1] for reference in CITATION["references"]}
    assert papers >= {"2206.00364", "2006.11239", "2011.13456", "2303.01469", "2112.07804"}
    assert all(reference["authors"] and reference["year"] for reference in CITATION["references"])


def test_license_and_links_agree():
    assert PROJECT["license"] == CITATION["license"] == "Apache-2.0"
    assert PROJECT["urls"]["Repository"] == CITATION["repository-code"]
    assert (ROOT / "jaxdiff" / "py.typed").exists()
