"""``group_identity.html``: every pair's similarity as a picture; self-contained, for ``file://``."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bids_strip.identity.compared import Identity
from bids_strip.identity.findings import FINDINGS, LIKELY_SWAP, read_limits
from bids_strip.page.frame import filled, json_in_html, part

MOST = 1000
"""Runs that a picture holds; of more, those with a finding, their partners and the likest."""


def heatmap(identities: Sequence[Identity], *, software: str) -> bytes:
    """Make the page: what does not fit, then a picture a modality.

    Parameters
    ----------
    identities
        One a modality.
    software
        Name and version, for the foot of the page.
    """
    limits = read_limits()
    data = {
        "one": round(limits.one, 3),
        "two": round(limits.two, 3),
        "findings": dict(FINDINGS),
        "groups": [_group(one) for one in identities],
    }
    return filled(
        "identity.html",
        style=part("base.css") + part("identity.css"),
        script=part("identity.js"),
        software=software,
        data=json_in_html(data),
    )


def shown_runs(one: Identity) -> list[int]:
    """Which of the compared runs the picture holds, in their order."""
    results = one.results
    if len(results) <= MOST:
        return list(range(len(results)))
    told = [run for run, result in enumerate(results) if result.findings]
    partners = [partner for run in told for partner in results[run].partners]
    nearest = np.argsort([-(result.other_similarity or -1.0) for result in results], kind="stable")
    return sorted(list(dict.fromkeys([*told, *partners, *nearest.tolist()]))[:MOST])


def _group(one: Identity) -> dict[str, Any]:
    shown = shown_runs(one)
    picture = one.similarity[np.ix_(shown, shown)]
    steps = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    place = {run: at for at, run in enumerate(shown)}
    return {
        "suffix": one.records[0].suffix if one.records else "",
        "runs": len(one.results),
        "names": [one.name(run) for run in shown],
        "people": [one.records[one.compared[run]].entities.get("sub", "") for run in shown],
        "similarity": base64.b64encode(steps.tobytes()).decode(),
        "left": [[one.records[index].bids_name, why] for index, why in one.left_out.items()],
        "found": [_found(one, run, place) for run, result in enumerate(one.results)
                  if result.findings],
    }  # fmt: skip


def _found(one: Identity, run: int, place: Mapping[int, int]) -> dict[str, Any]:
    """A run that does not fit; of a swap the likest run shows more than the one exchanged."""
    result = one.results[run]
    shown = result.other if LIKELY_SWAP in result.findings else result.partners[0]
    return {
        "run": one.name(run),
        "findings": result.findings,
        "partners": [one.name(partner) for partner in result.partners],
        "closest": [[one.name(other), round(float(one.similarity[run, other]), 3)]
                    for other in (result.own, result.other) if other is not None],
        "at": [place.get(run), place.get(run if shown is None else shown)],
    }  # fmt: skip
