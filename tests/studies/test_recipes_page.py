"""The tables of docs/recipes.md and README.md say what the results of the studies are."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import pytest

from lors_det.studies.results import read_results

ROOT = Path(__file__).parent.parent.parent
SETS = ("bccd", "aquarium")
ROWS = {
    "a grid of starts, and matchability": ("leave-one-out", "lors lors_published", "adamixer adamixer_published"),
    "a grid of starts": ("grid-mean", "lors_grid lors", "adamixer_grid adamixer"),
    "matchability": ("leave-one-out", "lors lors_all-but-matchability", "adamixer adamixer_all-but-matchability"),
    "the mean of the weights": ("grid-mean", "lors_grid-mean lors_grid", "adamixer_grid-mean adamixer_grid"),
    "a rate that stays for a third, then its cosine": (
        "flat-rate",
        "lors_flat-third lors",
        "adamixer_flat-third adamixer",
    ),
    "the same beside a grid and matchability": (
        "flat-recipe",
        "lors_flat-third lors",
        "adamixer_flat-third adamixer",
    ),
    "matchability, beside a rate that stays for a third": (
        "flat-recipe flat-rate",
        "lors_flat-third lors_flat-third",
        "adamixer_flat-third adamixer_flat-third",
    ),
    "four times the rate of everything": (
        "highest-rate rates-and-ranks",
        "lors_lr-4 lors",
        "adamixer_lr-4 adamixer",
    ),
    "twice the rate of everything": ("rates-and-ranks", "lors_lr-2 lors", "adamixer_lr-2 adamixer"),
    "half the rate of everything": ("rates-and-ranks", "lors_lr-half lors", "adamixer_lr-half adamixer"),
    "a third, then a schedule begun anew: two parts": (
        "factorised",
        "in-two-parts lors",
        "adamixer-in-two-parts adamixer",
    ),
    "the first of two parts as AdaMixer, then factorised: against both as LORS": (
        "factorised",
        "factorised in-two-parts",
        None,
    ),
    "1/users of the rate on bases": ("sharing-grid", "base-users lors", None),
    "gains": ("sharing-grid", "gain lors", None),
    "gains and 1/users": ("sharing-grid", "gain-base-users lors", None),
    "twice the rank": ("sharing-levers", "rank-double lors", None),
    "full rank": ("sharing-levers", "rank-full lors", None),
    "pairs of neighbours": ("sharing-levers", "pairs lors", None),
    "residuals four times as loud": ("sharing-levers", "scale-4 lors", None),
    "mean gradients on bases": ("sharing-levers", "mean-gradient lors", None),
    "gradients of the last two stages": ("sharing-levers", "gradient-last-2 lors", None),
    "noise on queries": ("sharing-levers", "noise lors", None),
    "half the rate on bases": ("rates-and-ranks", "base-half lors", None),
    "half the rate on residuals": ("rates-and-ranks", "residual-half lors", None),
    "twice the rate on residuals": ("rates-and-ranks", "residual-2 lors", None),
    "residuals without decay": ("rates-and-ranks", "residual-no-decay lors", None),
    "fewer groups from stage to stage": ("rates-and-ranks", "groups-falling lors", None),
    "ranks in place of groups": ("rates-and-ranks", "ranks-for-groups lors", None),
    "residuals that start different": ("start", "lors_start lors", None),
    "mixing that starts equal": ("start", None, "adamixer_equal adamixer"),
    "eight stages, LORS+": ("depth", "depth-8 lors", None),
    "eight stages, gradients of the last four": ("depth", "depth-8_last-4 lors", None),
    "twelve stages, LORS+": ("depth", "depth-12 lors", None),
    "twelve stages, gradients of the last four": ("depth", "depth-12_last-4 lors", None),
    "twenty stages, LORS+": ("depth", "depth-20 lors", None),
    "twenty stages, gradients of the last four": ("depth", "depth-20_last-4 lors", None),
}
"""What a row changes: study (or those with it and without), and for LORS and AdaMixer the arms with it and without."""


def ap_of(study: str, arm: str, data: str) -> dict[int, float]:
    """By seed."""
    runs = read_results(ROOT / "docs/studies" / study / "results.json").values()
    return {run.seed: run.metrics["coco/bbox_mAP"] for run in runs if (run.arm, run.set) == (arm, data)}


def cell(studies: list[str], arms: str | None, data: str) -> str:
    """Mean difference of AP over the seeds that both arms have, and how many of these are above."""
    if arms is None:
        return ""
    with_it, without = arms.split()
    changed, plain = ap_of(studies[0], with_it, data), ap_of(studies[-1], without, data)
    gains = [changed[seed] - plain[seed] for seed in changed if seed in plain]
    if not gains:
        return ""
    return f"{mean(gains):+.3f}".replace("0.", ".") + f" ({sum(gain > 0 for gain in gains)}/{len(gains)})"


@pytest.mark.parametrize("row", ROWS)
def test_row_is_what_was_measured(row):
    named, lors, adamixer = ROWS[row]
    studies = named.split()
    cells = [
        row,
        *(cell(studies, arms, data) for arms in (lors, adamixer) for data in SETS),
        ", ".join(f"[{study}](studies/{study}/README.md)" for study in studies),
    ]
    begin = "| " + " | ".join(cells) + " |"
    lines = (ROOT / "docs/recipes.md").read_text().splitlines()
    assert [line for line in lines if line.startswith(begin)], f"no row begins {begin}"


README_ROWS = {
    "published-size": [""],
    "leave-one-out": ["_published"],
    "rates-and-ranks": ["", "_lr-half", "_lr-2"],
    "flat-recipe": ["_flat-third"],
}
"""Ends of the arms' names: of the one that a row is of, or of those of which it has the best."""


def best(study: str, arms: list[str], data: str) -> str:
    """Mean and deviation of the arm whose mean is the highest, of those that have three seeds or more."""
    found = [list(ap_of(study, arm, data).values()) for arm in arms]
    whole = [values for values in found if len(values) >= 3]
    if not whole:
        return ""
    values = max(whole, key=mean)
    return f"{mean(values):.3f} ± {stdev(values):.3f}".replace("0.", ".")


@pytest.mark.parametrize("study", README_ROWS)
def test_readme_has_what_was_measured(study):
    models = ("lors", "adamixer")
    cells = [best(study, [f"{model}{end}" for end in README_ROWS[study]], data) for data in SETS for model in models]
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if f"{study}/README.md)" in line)
    assert [cell.strip() for cell in row.split("|")[2:-1]] == cells
