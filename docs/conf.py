r"""Configuration of Sphinx."""

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import pyg_hiersmooth

sys.path.append(str(Path(__file__).parent / "_ext"))

project = "pyg_hiersmooth"
author = "The pyg_hiersmooth developers"
copyright = f"2026, {author}"
release = version = pyg_hiersmooth.__version__
changelog = (Path(__file__).parent.parent / "CHANGELOG.md").read_text()
is_released = f"## {version} (unreleased)" not in changelog

extensions = [
    "mathml",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

# Tutorials are notebooks in Markdown, run anew in every build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_execution_show_tb = True

autodoc_typehints = "description"
autodoc_member_order = "bysource"

# Links to other libraries need their inventories from the network, which not every builder has.
if os.environ.get("READTHEDOCS") or os.environ.get("INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "torch_geometric": ("https://pytorch-geometric.readthedocs.io/en/latest", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
    }

html_theme = "furo"
# Read the Docs builds 'latest' from main, 'stable' and one version for each tag; each says its own.
html_title = f"pyg_hiersmooth {version}" + ("" if is_released else " (unreleased)")
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
html_static_path = ["_static"]
html_css_files = ["site.css"]
exclude_patterns = ["_build", "_ext"]

TOCTREE = re.compile(r"<!-- toctree: *(.*)\n([^>]*)-->")


def show_toctrees(app: Sphinx, page: str, source: list[str]) -> None:
    r"""Reads tables of contents from comments, since GitHub would show directives as text."""

    def directive(found: re.Match[str]) -> str:
        caption = f":caption: {found[1]}\n" if found[1] else ""
        return f"```{{toctree}}\n{caption}:maxdepth: 1\n:hidden:\n\n{found[2]}```"

    source[0] = TOCTREE.sub(directive, source[0])


def setup(app: Sphinx) -> None:
    r"""Is called by Sphinx."""
    app.connect("source-read", show_toctrees)
