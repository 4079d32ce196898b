r"""A certificate in one line, and as a small table for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyg_hiersmooth.certificates.views.explanation import CHANGED, html_table

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate


def in_one_line(certificate: Certificate) -> str:
    r"""Its ``repr``."""
    return f"{described(certificate)} against: {certificate.threat}"


def described(certificate: Certificate) -> str:
    r"""What it is, without its adversary."""
    holds = ", exact" if certificate.exact else ", simultaneous" if certificate.simultaneous else ""
    sampled = "".join(f", {name}={value}" for name, value in _statistics(certificate))
    return (
        f"{type(certificate).__name__}({len(certificate)} objects, kind='{certificate.kind}', "
        f"{certificate.selection}, {certificate.noise}{sampled}, "
        f"abstained={int(certificate.abstained.sum())}{holds})"
    )


def as_html(certificate: Certificate) -> str:
    r"""What a notebook shows of it."""
    noise = certificate.noise
    rows = [
        ("objects", f"{len(certificate):,}"),
        ("smoothing", certificate.smoothing),
        ("against", certificate.threat),
        ("kind", certificate.kind + (", all at once" if certificate.simultaneous else "")),
        ("abstained", f"{certificate.abstained.sum() / max(len(certificate), 1):.1%}"),
        *((name, f"{value:,}") for name, value in _statistics(certificate)),
    ]
    for budget in noise.reported_budgets():
        if noise.budget_is_r:
            ratios = [f"{certificate.certified_ratio(**budget):.1%}"]
        else:
            each = ((r, certificate.certified_ratio(r, **budget)) for r in CHANGED)
            ratios = [f"r = {r}: {ratio:.1%}" for r, ratio in each]
        rows.append((f"withstand {noise.describe(**budget)}", ", ".join(ratios)))
    return html_table("Certificate", rows)


def _statistics(certificate: Certificate) -> list[tuple[str, Any]]:
    r"""What is known about the sampling."""
    if certificate.exact:
        return []
    every = ("n0", certificate.n0), ("n", certificate.n), ("alpha", certificate.alpha)
    return [(name, value) for name, value in every if value is not None]
