r"""What came out, at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy, CollectiveAccuracy
from pyg_hiersmooth.report.curves import any_change
from pyg_hiersmooth.report.reported_run import ReportedRun

MOST_ASKED = 3


def headline(run: ReportedRun) -> str:
    r"""The cards as HTML: without an attack, certified, one attack on all, and against whom."""
    return f"<div class=cards>{''.join(_cards(run))}</div>"


def headline_cells(run: ReportedRun) -> list[CertifiedAccuracy]:
    r"""The certified accuracies that stand first: what was asked for, or else the first row of the
    table in which something is changed.
    """
    if run.summary.asked:
        return run.summary.asked[:MOST_ASKED]
    return [cell for cell in run.summary.certified if cell.changes != "nothing"][:1]


def headline_attack(run: ReportedRun) -> CollectiveAccuracy | None:
    r"""What one attack on all leaves that changes up to ten nodes by the first budget."""
    if run.summary.collective is None:
        return None
    cells = [cell for cell in run.summary.collective.certified if cell.r <= 10]
    return max(cells, key=lambda cell: cell.r)


def adversary(cell: CertifiedAccuracy) -> str:
    r"""``"5 deletions, r = 1"``."""
    return f"{any_change(cell.changes)}, r = {cell.r}"


def threat(certificate: Certificate) -> str:
    r"""Against whom certificates hold, in a sentence."""
    told = certificate.threat
    return f"The adversary: {told}. Changes of the training data are not covered."


def confidence(run: ReportedRun) -> str:
    r"""How sure certificates are, in a sentence."""
    certificate = run.certificate
    if certificate is None:
        return "Nothing is certified without noise."
    if certificate.exact:
        return "Every outcome was counted: this is deterministic, not statistical."
    if certificate.alpha is None:
        return "This is statistical."
    whom = f"all {run.noun} at once" if certificate.simultaneous else f"each of the {run.noun}"
    return f"Holds for {whom} with {100 * (1 - certificate.alpha):g}% confidence."


def _cards(run: ReportedRun) -> Iterator[str]:
    summary = run.summary
    rest = [f"of {summary.num_nodes:,} {run.noun}"]
    if run.certificate is not None:
        rest.append(f"abstains on {summary.abstained:.1%}")
    if summary.majority is not None:
        rest.append(f"most frequent class {summary.majority:.1%}")
    yield _card(summary.accuracy, "correct without an attack", "; ".join(rest))
    for cell in headline_cells(run):
        yield _card(cell.accuracy, "certified correct", f"{adversary(cell)}, an attack on each")
    attack = headline_attack(run)
    if attack is not None:
        yield _card(attack.accuracy, "certified under one attack on all", adversary(attack))
    if run.certificate is not None:
        words = f"{escape(threat(run.certificate))} {escape(confidence(run))}"
        yield f'<div class="card words"><span class=muted>{words}</span></div>'


def _card(share: float, what: str, rest: str) -> str:
    return (
        f"<div class=card><b>{share:.1%}</b>{escape(what)}"
        f"<span class=muted>{escape(rest)}</span></div>"
    )
