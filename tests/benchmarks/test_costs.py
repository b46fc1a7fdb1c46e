"""What runs cost, from made-up records."""

from __future__ import annotations

from benchmarks.costs import lines, share_of_input
from bids_strip.fingerprint import InputFile
from bids_strip.record import OutputFile, Record

OUTPUTS = (
    OutputFile("sub-01/anat/sub-01_desc-brain_mask.nii.gz", 100),
    OutputFile("sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", 1400),
    OutputFile("sub-01/anat/sub-01_space-MNI_desc-brain_mask.nii.gz", 250),
)


def record(seconds: float) -> Record:
    return Record("sub-01_T1w", "T1w", {"sub": "01"}, "ok", input=InputFile("x", 1000, 0, ""),
                  outputs=OUTPUTS, stage_seconds={"load": seconds}, elapsed_s=seconds + 1,
                  peak_memory_mb=500.0)  # fmt: skip


def test_bytes_of_the_own_grid_and_of_templates() -> None:
    assert share_of_input(record(1.0), in_spaces=False) == 1.5
    assert share_of_input(record(1.0), in_spaces=True) == 0.25


def test_medians_and_the_most() -> None:
    found = {line[:12].strip(): line[12:].split() for line in lines([record(s) for s in (1, 2, 9)])}
    assert found["load"][:4] == ["2.00", "(at", "most", "9.00)"]
    assert found["in all"][:4] == ["3.00", "(at", "most", "10.00)"]
    assert found["own grid"][0] == "1.50"
