"""Names lead to where the reference shows them: those in a page's backticks, and references to another face.

`jaxdiff.samplers.heun`, `samplers.heun` for short, and `jaxdiff.losses.elbo.ddpm_hvae`, shown at `jaxdiff.losses`.
"""

import importlib
import re
from typing import Any

from docutils import nodes
from places import TOP, find
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

DOTTED = re.compile(r"[a-z]\w*(\.\w+)+")


def link(app: Sphinx, page: str, text: str, shown: nodes.Node) -> nodes.Node | None:
    """Return a reference from a page to what a text names, or None where the reference has no such name."""
    name = find(text, importlib.import_module(TOP)) if DOTTED.fullmatch(text) else None
    if name is None:
        return None
    to = app.env.domains["py"].data["objects"][name]
    return make_refnode(app.builder, page, to.docname, to.node_id, shown, name)


def missing(app: Sphinx, env: BuildEnvironment, node: nodes.Element, shown: nodes.Node) -> nodes.Node | None:
    """Resolve a reference by a name that another face gives."""
    return link(app, node["refdoc"], node["reftarget"], shown) if node.get("refdomain") == "py" else None


class LinkNames(SphinxPostTransform):
    """After the references that are written as such are resolved; docstrings have their own way, `house`."""

    default_priority = 20

    def run(self, **kwargs: Any) -> None:
        page = self.env.current_document.docname
        if page.startswith("api/"):
            return
        for literal in list(self.document.findall(nodes.literal)):
            inside = isinstance(literal.parent, nodes.reference)
            found = None if inside else link(self.app, page, literal.astext(), literal.deepcopy())
            if found:
                literal.replace_self(found)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(LinkNames)
    app.connect("missing-reference", missing)
    return {"parallel_read_safe": True}
