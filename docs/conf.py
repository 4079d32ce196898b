r"""Configuration of Sphinx."""

import pyg_hiersmooth

project = "pyg_hiersmooth"
author = "The pyg_hiersmooth developers"
copyright = f"2026, {author}"
release = pyg_hiersmooth.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "amsmath"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
html_theme = "furo"
exclude_patterns = ["_build"]
