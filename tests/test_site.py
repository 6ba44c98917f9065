"""The documentation's site: built without a warning, whole, and read without the network."""

import functools
import importlib
import json
import re
import sys
import zlib
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.commands import ROOT, python
from tests.support.html import Page

DOCS = ROOT / "docs"
DOCUMENTS = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
FENCES = re.compile(r"^(?: *)(```+|~~~+).*?^(?: *)\1", re.MULTILINE | re.DOTALL)
MATHS = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$(?=\S)[^$\n]+?(?<=\S)\$(?!\d)", re.DOTALL)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(folder, what the build said): by the command that CONTRIBUTING names."""
    out = tmp_path_factory.mktemp("site")
    done = python("-m", "sphinx", "-W", "--keep-going", "-q", "docs", out)
    missing = re.search("No module named '?(sphinx|furo|myst_nb|sphinx_copybutton|sphinx-mathjax-offline)", done.stderr)
    assert not missing, f"the site needs {missing[1]}: pip install -e '.[docs]'"
    return out, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pages(built):
    """{path below the site's folder: what the page holds}."""
    return {path.relative_to(built[0]).as_posix(): Page(path.read_text()) for path in built[0].rglob("*.html")}


@pytest.mark.full
def test_it_builds_without_a_warning(built):
    assert built[1] == ""
    assert (built[0] / "index.html").exists()


@pytest.mark.full
def test_every_page_of_the_sources_is_there(pages):
    assert {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCUMENTS} <= set(pages)
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.stem}.html" in pages


@pytest.mark.full
def test_every_link_leads_to_a_page_and_a_place_in_it(built, pages):
    counted = 0
    for name, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc or link == "#":
                continue
            path = (built[0] / name).parent / unquote(to.path) if to.path else built[0] / name
            assert path.exists(), f"{name} links to {link}"
            if to.fragment and path.suffix == ".html":
                target = pages[path.resolve().relative_to(built[0].resolve()).as_posix()]
                assert unquote(to.fragment) in target.ids, f"{name} links to {link}"
            counted += 1
    assert counted > 1000


@pytest.mark.full
def test_no_page_loads_anything_from_the_network(built, pages):
    for name, page in pages.items():
        for source in page.loaded:
            to = urlsplit(source)
            assert not to.netloc, f"{name} loads {source}"
            assert to.scheme == "data" or ((built[0] / name).parent / unquote(to.path)).exists(), f"{name}: {source}"
    for style in built[0].rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?\s*(https?:)?//", style.read_text()), style


@pytest.mark.full
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_mathematics_is_shown_as_such(document, built, pages):
    """Elements that MathJax sets, with its script from the site; no dollar is left in the text."""
    source = re.sub(r"`+[^`\n]*`+", "", FENCES.sub("", document.read_text()))
    page = pages[document.relative_to(DOCS).with_suffix(".html").as_posix()]
    assert page.maths >= len(MATHS.findall(source))
    assert "$$" not in "".join(re.sub(r"\\[(\[].*?\\[)\]]", "", "".join(page.words), flags=re.DOTALL))
    if page.maths:
        scripts = [source for source in page.loaded if "mathjax" in source]
        assert [urlsplit(source).path.rpartition("_static/")[2] for source in scripts] == ["mathjax/tex-chtml.js"]


@pytest.mark.full
def test_the_reference_has_every_public_name(built):
    lines = (built[0] / "objects.inv").read_bytes().split(b"\n", 4)[4]
    listed = {line.split(" ")[0] for line in zlib.decompress(lines).decode().splitlines()}
    for name in public_names():
        assert extension("places").shown()[name] in listed, name


@pytest.mark.full
@pytest.mark.parametrize("word", ["churn", "karras", "inpaint", "colab"])
def test_search_knows(word, built):
    text = (built[0] / "searchindex.js").read_text()
    terms = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))["terms"]
    assert any(term.startswith(word) for term in terms)


def extension(name):
    """A module of docs/_ext."""
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@functools.cache
def public_names():
    """Of every face all that it lists, of every module its functions and classes without an underscore."""
    names = set()
    for path in extension("places").everything():
        module = importlib.import_module(path)
        names |= {f"{path}.{name}" for name in getattr(module, "__all__", ())}
        for name, value in vars(module).items():
            if not name.startswith("_") and getattr(value, "__module__", None) == path and callable(value):
                names.add(f"{path}.{name}")
    return names


def test_every_public_name_has_a_place_in_the_reference():
    """Whether or not Sphinx is installed."""
    missing = public_names() - set(extension("places").shown())
    assert not missing


@pytest.mark.parametrize(
    ("name", "module", "place"),
    [
        ("Draws", "jaxdiff.augment.pipe", "jaxdiff.augment.Draws"),
        ("Draws", "jaxdiff.process.ddgan", "jaxdiff.process.ddgan.Draws"),
        ("Draws", "jaxdiff.samplers", None),
        ("sample", "jaxdiff.samplers.heun", "jaxdiff.samplers.sample"),
        ("sample", "jaxdiff", "jaxdiff.samplers.sample"),
        ("heun", "jaxdiff.guidance", "jaxdiff.samplers.heun"),
        ("grids.karras", "jaxdiff.samplers.heun", "jaxdiff.grids.karras"),
        ("jaxdiff.samplers.control.impute", "jaxdiff", "jaxdiff.samplers.impute"),
        ("samplers.control", "jaxdiff", "jaxdiff.samplers.control"),
        ("no_such_name", "jaxdiff", None),
    ],
)
def test_a_name_leads_where_its_module_means(name, module, place):
    assert extension("places").find(name, importlib.import_module(module)) == place
