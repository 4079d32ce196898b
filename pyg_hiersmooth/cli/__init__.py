r"""The command line program ``hiersmooth``."""

import click

from pyg_hiersmooth import __version__
from pyg_hiersmooth.cli.attack import attack_command
from pyg_hiersmooth.cli.benchmark import benchmark_command
from pyg_hiersmooth.cli.certify import certify_command
from pyg_hiersmooth.cli.plot import plot_command
from pyg_hiersmooth.cli.report import report_command
from pyg_hiersmooth.cli.tune import tune_command

__all__ = ["main"]


WIDE = 120
r"""Most columns of a help."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDE})
@click.version_option(__version__, prog_name="pyg_hiersmooth")
def main() -> None:
    """Provable robustness for graph neural networks.

    Hierarchical randomized smoothing (Scholten et al., NeurIPS 2023) adds noise to the features
    of randomly selected nodes and takes the majority vote of a GNN over many such graphs. The
    votes prove that no adversary who changes at most r nodes, by at most a given strength in
    total, can change the prediction.

    \b
    Example:
      hiersmooth certify --model gcn --noise flips --out runs/gcn
      hiersmooth certify --model gat --noise flips --out runs/gat
      hiersmooth plot runs/gcn runs/gat
      hiersmooth report runs/gcn runs/gat
      hiersmooth attack runs/gcn --r 1 --deletions 5
    """


main.add_command(attack_command)
main.add_command(benchmark_command)
main.add_command(certify_command)
main.add_command(plot_command)
main.add_command(report_command)
main.add_command(tune_command)
