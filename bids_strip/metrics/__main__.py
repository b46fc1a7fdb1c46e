"""``python -m bids_strip.metrics`` prints ``docs/METRICS.md``: each metric, flag and rule."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from bids_strip.metrics import (
    FLAGS,
    IMAGE_METRICS,
    MASK_METRICS,
    TEMPLATE_METRICS,
    Metric,
)
from bids_strip.verdict import RULES, Rule

_HEAD = """# Metrics

Written by `python -m bids_strip.metrics`; do not edit. The same words stand in
`group_<suffix>.json` and in the tooltips of the pages. A metric that cannot be had of a run is
absent (`n/a` in the table).

What MRIQC defines keeps MRIQC's name and formula, on the image corrected here and with the shares
of tissue found here. Values differ from MRIQC's by more than that: voxels are taken about 3 to 4 mm
apart; air is all that is clear of the head by 4 mm (MRIQC leaves out artefacts that it detects, and
what lies below the nose); FWHM is of the corrected brightness within the surface as it is (MRIQC's
AFNI takes a trend out first). `niimath --qc` is the oracle of median, standard deviation, SNR, CJV,
CNR without air, EFC and WM2MAX; Dietrich's SNR, FBER, FWHM and air are held against closed
forms."""
_VERDICT = """## Verdict

`check` where a reason holds. A rule on what is absent does not hold. How the limits were chosen,
and what they find: `benchmarks/README.md`."""


def document() -> str:
    """The whole page."""
    tables = (
        ("Of the mask", MASK_METRICS),
        ("Of the mask in template spaces (`--output-spaces`)", TEMPLATE_METRICS),
        ("Of the image", IMAGE_METRICS),
    )
    parts = [_HEAD, *(f"## {title}\n\n{_table(metrics)}" for title, metrics in tables)]
    flags = "\n".join(f"| `{key}` | {_cell(text)} |" for key, text in FLAGS.items())
    parts.append(f"## Flags\n\n| flag | meaning |\n|---|---|\n{flags}")
    parts.append(
        f"{_VERDICT}\n\n| reason | what it means | holds where |\n|---|---|---|\n{_rules()}"
    )
    return "\n\n".join(parts) + "\n"


def _table(metrics: Sequence[Metric]) -> str:
    head = "| metric | what it is | unit | range | direction | source |\n|---|---|---|---|---|---|"
    return "\n".join([head, *_rows(metrics)])


def _rows(metrics: Sequence[Metric]) -> Iterator[str]:
    for metric in metrics:
        cells = (f"`{metric.key}`", metric.description, metric.unit_words, metric.range_words,
                 metric.better_words, metric.source)  # fmt: skip
        yield "| " + " | ".join(map(_cell, cells)) + " |"


def _rules() -> str:
    return "\n".join(
        f"| `{rule.reason}` | {_cell(rule.words)} | {_outside(rule)} |" for rule in RULES
    )


def _outside(rule: Rule) -> str:
    """The values for which a rule holds."""
    sides = [] if rule.least is None else [f"below {rule.least:g}"]
    sides += [] if rule.most is None else [f"above {rule.most:g}"]
    return f"`{rule.key}` is " + (" or ".join(sides) if rule.key not in FLAGS else "1")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(document())
