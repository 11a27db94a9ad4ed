"""How Sphinx makes these pages: `make docs`."""

import re
from pathlib import Path

from sphinx.application import Sphinx

from aelab.settings import VERSION

project = "aelab"
author = "The aelab maintainers"
version = release = VERSION
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 4
default_role = "code"
napoleon_custom_sections = [("Keywords", "params_style")]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "description": "A laboratory bench for autoencoders"}
html_show_copyright = False

DOCS = Path(__file__).parent
LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s]+)\)")


def without_links_to_folders(app: Sphinx, page: str, source: list[str]) -> None:
    """A link to a folder of the checkout becomes its text: pages on the web have no such folder."""
    folder = (DOCS / page).parent

    def shown(link: re.Match[str]) -> str:
        return link[1] if (folder / link[2]).is_dir() else link[0]

    source[0] = LINK.sub(shown, source[0])


def as_written(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """A docstring's backslashes stay, and what stands before a colon is no type of an attribute."""
    lines[:] = [line.replace(r"\d", r"\\d") for line in lines]
    if what in ("attribute", "property"):
        lines.insert(0, "")  # napoleon looks for a type in the first line alone


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", without_links_to_folders)
    app.connect("autodoc-process-docstring", as_written, priority=400)
