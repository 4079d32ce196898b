"""What setup.cfg cannot say: on a package index, the links of the README lead to the repository."""

import re
from pathlib import Path

from setuptools import setup

REPOSITORY = "https://github.com/pyg-hiersmooth/pyg_hiersmooth"


def absolute(link: re.Match[str]) -> str:
    """A relative link or picture of the README, as one that works anywhere."""
    mark, text, path = link.groups()
    return f"{mark}[{text}]({REPOSITORY}/{'raw' if mark else 'blob'}/main/{path})"


readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
setup(long_description=re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)", absolute, readme))
