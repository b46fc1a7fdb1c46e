"""Every kind of image through the command line, with the embedded network, as one dataset.

Where the network is shown the very array that it is shown of the plain head, it is not run again.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from bids_strip import cli
from bids_strip.card import find_card
from bids_strip.geometry import dice
from bids_strip.participant.conform import conform
from bids_strip.participant.load import load
from tests.cases.images import CASES, Case, Check, Heads, Line, Made, Result, Same, drawn_heads

PLAIN = CASES[0]
AT_THE_LIMIT = "unlike_a_brain"
"""The drawn head is no brain's shape: its misfit lies about the limit, on this side or that."""
THROUGH = tuple(case for case in CASES if not isinstance(case.expected, Same))


@dataclass(frozen=True)
class Processed:
    """What one call made of all cases."""

    out: Path
    made: Mapping[str, Made]
    said: str
    code: int

    def record(self, case: Case) -> dict[str, Any]:
        name = f"sub-{case.name}/anat/sub-{case.name}_desc-brain_qc.json"
        return json.loads((self.out / name).read_text(encoding="utf-8"))

    def mask(self, case: Case) -> NDArray[np.bool_]:
        name = f"sub-{case.name}/anat/sub-{case.name}_desc-brain_mask.nii.gz"
        return np.asarray(nib.load(self.out / name).dataobj) > 0

    def reference(self, case: Case) -> NDArray[np.bool_]:
        """The truth of a case, or the mask of the plain head on its voxels."""
        made = self.made[case.name]
        if made.truth is not None:
            return made.truth
        plain = self.mask(PLAIN)
        return plain[::-1] if made.mirrored else plain


def write_case(case: Case, made: Made, root: Path) -> None:
    packed = case.packed or case.zipped
    name = f"sub-{case.name}/anat/sub-{case.name}_T1w.nii{'.gz' if packed else ''}"
    content = gzip.compress(made.content, 1) if packed and not case.zipped else made.content
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(content)


@pytest.fixture(scope="module")
def heads() -> Heads:
    return drawn_heads()


def made_of(case: Case, heads: Heads) -> Made:
    one = case.make(heads)
    return one if isinstance(one, Made) else Made(one)


@pytest.fixture(scope="module")
def processed(heads: Heads, tmp_path_factory: pytest.TempPathFactory) -> Processed:
    folder = tmp_path_factory.mktemp("images")
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    (raw / "dataset_description.json").write_text('{"Name": "cases", "BIDSVersion": "1.10.0"}')
    made = {case.name: made_of(case, heads) for case in THROUGH}
    for case in THROUGH:
        write_case(case, made[case.name], raw)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = cli.main([str(raw), str(out), "participant", "--outputs", "mask"])
    return Processed(out, made, said.getvalue(), code)


def of_kind(kind: type) -> pytest.MarkDecorator:
    cases = [case for case in CASES if isinstance(case.expected, kind)]
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@of_kind(Same)
def test_what_the_network_sees(case: Case, heads: Heads, tmp_path: Path) -> None:
    card = find_card(None)
    for one in (PLAIN, case):
        write_case(one, made_of(one, heads), tmp_path)
    ours, plain = (
        load(next((tmp_path / f"sub-{one.name}" / "anat").iterdir())) for one in (case, PLAIN)
    )
    seen, expected = conform(ours.volume, card), conform(plain.volume, card)
    assert np.allclose(seen.data, expected.data, atol=1e-3)
    assert np.allclose(seen.frame.firsts, expected.frame.firsts, atol=1e-4)
    assert seen.frame.axes == expected.frame.axes
    assert seen.frame.flips == expected.frame.flips
    flags = ("form_mismatch", "no_orientation", "sheared")
    assert [f for f in flags if getattr(ours, f)] == [f for f in (case.expected.flag,) if f]


@of_kind(Result)
def test_a_right_mask(case: Case, processed: Processed) -> None:
    record = processed.record(case)
    assert record["status"] == "ok", record["reason"]
    mask, reference = processed.mask(case), processed.reference(case)
    assert dice(mask, reference) >= case.expected.dice, record["reasons"]
    more = set(record["reasons"]) - set(processed.record(PLAIN)["reasons"]) - {AT_THE_LIMIT}
    if case.expected.reason is not None:
        assert more == {reason for reason in (case.expected.reason,) if reason}


@of_kind(Check)
def test_no_wrong_mask_in_silence(case: Case, processed: Processed) -> None:
    record = processed.record(case)
    if record["status"] == "failed":
        assert "no brain found" in record["reason"]
    else:
        assert case.expected.reason in record["reasons"]


@of_kind(Line)
def test_one_clear_line(case: Case, processed: Processed) -> None:
    record = processed.record(case)
    assert record["status"] == "failed"
    assert case.expected.words in record["reason"]
    shown = [line for line in processed.said.splitlines() if f"/sub-{case.name}_T1w" in line]
    assert len(shown) == 1
    assert record["reason"] in shown[0].replace(str(processed.out.parent / "raw") + "/", "")


def test_nothing_else_is_said(processed: Processed) -> None:
    """One line a run, what nibabel mends is not told; nothing is an internal error."""
    assert processed.code == 1
    assert "Traceback" not in processed.said
    assert "internal error" not in processed.said
    runs = [line for line in processed.said.splitlines() if line.startswith("[")]
    assert len(runs) == len(THROUGH)
    assert len(processed.said.splitlines()) == len(THROUGH) + 2
