"""What is asked of a network, beside what `training.evaluate` found."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

from benchmarks.asked import Asked, at_least, at_most

LEAST_HEADS = 10 / 12
"""Share of the real heads in the shell, and whose Dice is at least the references'."""
LEAST_DICE = {"T1w-like": 0.975, "any": 0.94}
LEAST_TISSUE = {"dice_GM": 0.80, "dice_WM": 0.85, "dice_CSF": 0.70}
MOST = {"surface_mm": 0.9, "labels_missed_percent": 0.5, "labels_missed_mm": 3.0,
        "labels_missed_deep_mm": 3.0}  # fmt: skip
"""Asked for on T1w-like images; 3 mm both from the mask and beneath the labels' own surface."""


def asked_for(found: Mapping[str, Any]) -> list[Asked]:
    """Compare with what is asked of a network, as far as it was scored.

    Parameters
    ----------
    found
        ``held_out_label_maps`` as `summary` gives it, ``real_heads`` as `heads_summary`. A figure
        that is not in one that is given (too few images) is missed.
    """
    asked = []
    if "held_out_label_maps" in found:
        table = found["held_out_label_maps"]
        typical = table.get("T1w-like", {})
        asked += [at_least(f"{name}, Dice", table.get(name, {}).get("dice", nan), limit)
                  for name, limit in LEAST_DICE.items()]  # fmt: skip
        asked += [at_least(f"T1w-like, {key}", typical.get(key, nan), limit)
                  for key, limit in LEAST_TISSUE.items()]  # fmt: skip
        asked += [at_most(f"T1w-like, {key}", typical.get(key, nan), limit)
                  for key, limit in MOST.items()]  # fmt: skip
    if "real_heads" in found:
        heads = found["real_heads"]
        asked += [at_least(f"real heads, share of {key}", heads[key] / heads["heads"], LEAST_HEADS)
                  for key in ("in_shell", "dice_at_least_references")]  # fmt: skip
    return asked
