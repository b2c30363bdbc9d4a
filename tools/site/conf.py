"""How Sphinx builds the site; tools/site/build.py calls it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.search.en import SearchEnglish

import hf_gate

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "hf-gate"
version = release = hf_gate.__version__
root_doc = "index"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
smartquotes = False  # it would turn --yes into a dash

myst_heading_anchors = 4
myst_heading_anchors_html_ids = True  # an address with an anchor is the same here and in the repository

html_theme = "furo"
pygments_dark_style = "github-dark"  # that of the theme underlines names of modules
html_title = "hf-gate"
html_copy_source = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_search_scorer = str(
    Path(__file__).parents[2] / "build" / "site-source" / "scorer.js"
)  # with the purposes of pages
html_sidebars = {
    "**": [f"sidebar/{part}.html" for part in ("brand", "search", "scroll-start", "navigation", "scroll-end")]
}
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#3b2fc9", "color-brand-content": "#3b2fc9"},
    "dark_css_variables": {"color-brand-primary": "#aeaaff", "color-brand-content": "#aeaaff"},
}


class SearchQuestions(SearchEnglish):  # type: ignore[misc]  # Sphinx is only in .venv-docs
    """English without the words of a question, which say nothing about the page that answers it."""

    lang = "en"
    stopwords = SearchEnglish.stopwords | set(
        "how what when where which who why can do does did i me my we our you your from should".split()
    )


# ---- public names ----------------------------------------------------------------------------------------------------
default_role = "py:obj"  # `Hub.accept` in a docstring leads to it
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

_SHARED_PARAMETERS = {
    name: meaning
    for names, meaning in re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (.+) \|$",
        Path(__file__).parents[2].joinpath("docs", "api.md").read_text("utf-8"),
        re.MULTILINE,
    )
    for name in re.findall(r"\w+", names)
}


def describe_parameters(_app: Sphinx, what: str, _name: str, value: object, _options: object, lines: list[str]) -> None:
    """Add what the page says about parameters to the docstring of each call that has them."""
    if what not in {"method", "function"}:
        return
    lines += ["", *(
        f":param {name}: {_SHARED_PARAMETERS[name].replace('`', '``')}"
        for name in inspect.signature(value).parameters  # type: ignore[arg-type]
        if name in _SHARED_PARAMETERS
    )]  # fmt: skip


def find_public_name(app: Sphinx, _env: BuildEnvironment, node: pending_xref, child: nodes.Element) -> Any:  # noqa: ANN401 - a node of docutils
    """Lead a type, which names the module where it is defined, to the public name."""
    last = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or last not in hf_gate.__all__:
        return None
    return app.env.domains["py"].resolve_xref(
        app.env, node["refdoc"], app.builder, "obj", f"hf_gate.{last}", node, child
    )


def draw_dashes(_app: Sphinx, page: nodes.document) -> None:
    """Draw the dash between a parameter and its meaning, which Sphinx leaves to `smartquotes`."""
    for text in [text for text in page.findall(nodes.Text) if text.astext() == " -- "]:
        text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> None:
    """Connect the above."""
    app.add_search_language(SearchQuestions)
    app.connect("autodoc-process-docstring", describe_parameters)
    app.connect("missing-reference", find_public_name)
    app.connect("doctree-read", draw_dashes)
