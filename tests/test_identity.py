"""The identity check on real heads, from the command line."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from bids_strip import cli

DATA = os.environ.get("BIDS_STRIP_TEST_DATA", "")


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="BIDS_STRIP_TEST_DATA is not set")
def test_two_sessions_of_a_person_link_and_a_stranger_does_not(tmp_path: Path) -> None:
    raw, out = Path(DATA) / "ms-longitudinal", tmp_path / "out"
    call = [str(raw), str(out)]
    some = ["--participant-label", "ms04", "ms12", "--outputs", "mask"]
    assert cli.main([*call, "participant", "--identity-check", *some]) == 0
    assert cli.main([*call, "group", "--identity-check"]) == 0
    with (out / "group_identity.tsv").open(newline="", encoding="utf-8") as file:
        stranger, first, second = csv.DictReader(file, delimiter="\t")
    assert [row["finding"] for row in (stranger, first, second)] == ["n/a"] * 3
    assert first["own_closest"] == second["bids_name"]
    assert float(first["own_similarity"]) > 0.9
    assert float(stranger["other_similarity"]) < 0.4
