"""Sphinx's configuration."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import places

project = "jaxdiff"
author = "The jaxdiff authors"
copyright = "The jaxdiff authors"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.linkcode",
    "myst_nb",
    "sphinx_copybutton",
    "api",
    "house",
    "linked",
    "colab",
]
extensions += ["sphinx-mathjax-offline"]  # after sphinx.ext.mathjax, whose script it puts into the site
html_theme = "furo"
html_title = "jaxdiff"
html_static_path = ["_static"]
html_css_files = ["site.css", "tables.css"]
REPOSITORY = "https://github.com/jaxdiff/jaxdiff"
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sourcelink = False
exclude_patterns = ["_build", "img", "notebooks/runs"]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
nb_execution_mode = "off"  # -D nb_execution_mode=force runs the notebooks and shows their outputs
nb_execution_timeout = -1
nb_execution_raise_on_error = True
nb_code_prompt_show = "Show the {type} that installs what is missing"
pygments_dark_style = "one-dark"
highlight_language = "none"
python_display_short_literal_types = True
python_maximum_signature_line_length = 120
# Every reference to this library leads somewhere. Other libraries' names are shown without a link: their lists of names
# would have to come from the network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(collections|diffrax|flax|grain|Image|jax|jaxtyping|jnp|mmap|nn|np|numpy|optax)\..*"),
    ("py:class", r"Array|ArrayLike|DTypeLike|Float|Mesh|NamedSharding|NDArray|Path|PurePath|SVC|tqdm"),
    ("py:class", r"T|ArrayT"),  # type variables
]


def linkcode_resolve(domain, info):
    """Where the source of a public name is in the repository; of a method, its class."""
    found = places.statement(f"{info['module']}.{info['fullname'].split('.')[0]}")
    return f"{REPOSITORY}/blob/main/{found[0]}#L{found[1]}" if found else None


def setup(app):
    app.connect("html-page-context", without_edit_link)


def without_edit_link(app, page, template, context, document):
    """Pages that the build makes are not in the repository."""
    if page.startswith(("api/", "notebooks/")):
        context["page_source_suffix"] = ""
