"""Write the example: a BIDS dataset of drawn heads, its truth beside it as a derivative."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_strip.example.anatomy import draw_anatomy
from bids_strip.example.heads import DrawnHead, Scan, draw_head, take_scan

WHITE_MATTER = 400
"""What white matter comes to in the int16 images, about."""

_README = """# Heads drawn by code

Two heads that nobody has: every voxel is drawn from ellipsoids, tubes and noise by
`bids_strip.example`. They look enough like T1w scans to try `bids_strip` on, and the brain
is known: `derivatives/truth` holds it, by the same definition that the App uses.

sub-01 was scanned twice (ses-1, ses-2: turned, moved, other zooms, oblique, LAS), sub-02 once,
in 2.5 mm slices. Nothing here may serve a claim about accuracy on people.
"""
_DESCRIPTION = {
    "Name": "bids_strip example: heads drawn by code",
    "BIDSVersion": "1.11.1",
    "DatasetType": "raw",
    "License": "CC0",
    "Authors": ["bids_strip"],
}
_TRUTH_DESCRIPTION = {
    "Name": "bids_strip example: the brain as drawn",
    "BIDSVersion": "1.11.1",
    "DatasetType": "derivative",
    "License": "CC0",
    "Authors": ["bids_strip"],
    "GeneratedBy": [{"Name": "bids_strip.example"}],
    "DatasetLinks": {"raw": "../.."},
}
_PARTICIPANTS = "participant_id\tspecies\tscans\nsub-01\tn/a\t2\nsub-02\tn/a\t1\n"
_PARTICIPANTS_COLUMNS = {
    "species": {"Description": "n/a: the head is drawn, not scanned"},
    "scans": {"Description": "Number of T1w images"},
}


@dataclass(frozen=True)
class ExampleRun:
    """One image of the example: its path's stem relative to the dataset, and what it shows."""

    stem: str
    head: DrawnHead


def write_example(out: Path) -> None:
    """Write the example dataset, the same bytes each time.

    Parameters
    ----------
    out : Path
        Made where absent.

    Raises
    ------
    FileExistsError
        If ``out`` holds anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder: the example needs a new one")
    truth = out / "derivatives" / "truth"
    truth.mkdir(parents=True)
    (out / "README.md").write_text(_README, encoding="utf-8")
    (out / "participants.tsv").write_text(_PARTICIPANTS, encoding="utf-8")
    _write_json(out / "participants.json", _PARTICIPANTS_COLUMNS)
    _write_json(out / "dataset_description.json", _DESCRIPTION)
    _write_json(truth / "dataset_description.json", _TRUTH_DESCRIPTION)
    for run in example_runs():
        _write_scan(out, run)
        _write_truth(truth, run)


def example_runs() -> Iterator[ExampleRun]:
    """Yield the example's images one by one, each about a hundred megabytes."""
    first = draw_head(np.random.default_rng(101))
    figure = draw_anatomy(first.anatomy, first.means)
    yield ExampleRun("sub-01/ses-1/anat/sub-01_ses-1", take_scan(figure, first.scan))
    yield ExampleRun("sub-01/ses-2/anat/sub-01_ses-2", take_scan(figure, _later(first.scan)))
    second = draw_head(np.random.default_rng(202))
    figure = draw_anatomy(second.anatomy, second.means)
    yield ExampleRun("sub-02/anat/sub-02", take_scan(figure, _thick(second.scan)))


def _later(scan: Scan) -> Scan:
    """Return a second session of ``scan``: moved, turned, noisier, oblique LAS at 1.3 mm."""
    return replace(
        scan,
        seed=scan.seed + 1,
        shape=(148, 184, 168),
        zooms=(1.3, 1.3, 1.3),
        axcodes="LAS",
        oblique_deg=(8.0, -3.0, 4.0),
        tilt_deg=(5.0, 2.0, -4.0),
        shift_mm=(3.0, -2.0, 1.0),
        bias=0.3,
        noise=0.035,
    )


def _thick(scan: Scan) -> Scan:
    """Return ``scan`` in axial slices of 2.5 mm."""
    return replace(scan, shape=(180, 228, 86), zooms=(1.0, 1.0, 2.5))


def _write_scan(out: Path, run: ExampleRun) -> None:
    counts = np.clip(np.rint(run.head.image * WHITE_MATTER), 0, 32767).astype(np.int16)
    _write_nifti(out / f"{run.stem}_T1w.nii.gz", counts, run.head.affine)
    _write_json(
        out / f"{run.stem}_T1w.json",
        {
            "Modality": "MR",
            "Manufacturer": "drawn",
            "MagneticFieldStrength": 3,
            "RepetitionTime": 2.3,
            "EchoTime": 0.003,
            "InversionTime": 0.9,
            "FlipAngle": 9,
        },
    )


def _write_truth(truth: Path, run: ExampleRun) -> None:
    stem = f"{run.stem}_desc-truth_mask"
    _write_nifti(truth / f"{stem}.nii.gz", run.head.truth.astype(np.uint8), run.head.affine)
    _write_json(
        truth / f"{stem}.json",
        {"Type": "Brain", "Sources": [f"bids:raw:{run.stem}_T1w.nii.gz"]},
    )


def _write_nifti(
    path: Path, array: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64]
) -> None:
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    # neither a name nor a time in the gzip header: the same bytes each time
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=4, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
