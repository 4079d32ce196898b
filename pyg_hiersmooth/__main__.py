r"""``python -m pyg_hiersmooth``, the same program as ``hiersmooth``."""

from pyg_hiersmooth.cli import main

if __name__ == "__main__":
    main()
