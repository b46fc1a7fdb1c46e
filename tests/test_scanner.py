"""What is read of the source's sidecars: by inheritance, and nothing that tells of a person."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from bids_strip.output.place import Place
from bids_strip.participant.describe import describe
from bids_strip.participant.job import Job
from bids_strip.recipe import Recipe
from bids_strip.scanner import LONGEST, TERMS, scanner_of, stratum_of
from tests.conftest import TinyBids
from tests.fakes import run_of

RUN = "sub-0042/ses-b/anat/sub-0042_ses-b_acq-hi_run-1_T1w.nii.gz"
OTHERS = (
    "sub-0042/ses-b/anat/sub-0042_ses-b_acq-lo_run-1_T1w.nii.gz",
    "sub-0042/ses-b/anat/sub-0042_ses-b_T2w.nii.gz",
    "sub-0043/anat/sub-0043_T1w.nii.gz",
)


def put(root: Path, name: str, **terms: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(terms), encoding="utf-8")


def kept(term: str, value: object) -> str:
    return digest(str(value)) if term == "StationName" else str(value)


def digest(station: str) -> str:
    return hashlib.sha256(station.casefold().encode()).hexdigest()[:8]


def read(root: Path, name: str = RUN) -> dict[str, str]:
    return scanner_of(run_of(root / name, root))


# inheritance ---------------------------------------------------------------------------------


@pytest.fixture
def layered(tiny_bids: TinyBids) -> Path:
    """Sidecars on every level: some apply, others do not."""
    root = tiny_bids([RUN, *OTHERS])
    put(root, "T1w.json", Manufacturer="top", ManufacturersModelName="top", StationName="top")
    put(root, "T2w.json", Manufacturer="wrong contrast")
    put(root, "acq-lo_T1w.json", ProtocolName="T1w")
    put(root, "sub-0042/sub-0042_T1w.json", ManufacturersModelName="of the subject")
    put(root, "sub-0042/ses-b/sub-0042_ses-b_acq-hi_T1w.json", StationName="of the session",
        MagneticFieldStrength=1.5)  # fmt: skip
    put(root, "sub-0042/ses-b/anat/sub-0042_ses-b_acq-hi_run-1_T1w.json", MagneticFieldStrength=3)
    put(root, "sub-0042/ses-b/anat/sub-0042_ses-b_T2w.json", StationName="another file's")
    return root


@pytest.mark.parametrize("name", [RUN, *OTHERS])
def test_as_pybids_reads_them(layered: Path, name: str) -> None:
    from bids import BIDSLayout

    told = BIDSLayout(layered, validate=False).get_metadata(str(layered / name))
    expected = {term: kept(term, told[term]) for term in TERMS if term in told}
    assert read(layered, name) == expected


def test_the_nearest_counts(layered: Path) -> None:
    assert read(layered) == {
        "Manufacturer": "top",
        "ManufacturersModelName": "of the subject",
        "MagneticFieldStrength": "3",
        "StationName": digest("of the session"),
    }


def test_of_one_folder_the_most_specific_counts(tiny_bids: TinyBids) -> None:
    root = tiny_bids([RUN])
    put(root, "acq-hi_T1w.json", StationName="hi")
    put(root, "T1w.json", StationName="any", Manufacturer="any")
    assert read(root) == {"Manufacturer": "any", "StationName": digest("hi")}


def test_what_lies_above_the_dataset_is_not_read(tiny_bids: TinyBids) -> None:
    root = tiny_bids([RUN])
    put(root.parent, "T1w.json", Manufacturer="of somebody else")
    assert read(root) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"GE"', b"\xff\xfe", b"[" * 99999])
def test_a_damaged_sidecar_tells_nothing(tiny_bids: TinyBids, content: bytes) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", Manufacturer="GE")
    (root / RUN).with_name("sub-0042_ses-b_acq-hi_run-1_T1w.json").write_bytes(content)
    assert read(root) == {"Manufacturer": "GE"}


def test_without_sidecars(tiny_bids: TinyBids) -> None:
    root = tiny_bids([RUN])
    assert read(root) == {}
    (root / "T1w.json").symlink_to(root / "nowhere")
    assert read(root) == {}


# what is kept --------------------------------------------------------------------------------


def test_nothing_but_the_whitelist(tiny_bids: TinyBids) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", Manufacturer="GE", PatientName="Doe^Jane", PatientID="123",
        AcquisitionDateTime="2019-03-11T10:00:00", DeviceSerialNumber="40123",
        InstitutionName="General Hospital", InstitutionAddress="1 Street", OperatorsName="Roe",
        AccessionNumber="77", PatientBirthDate="1980-01-01")  # fmt: skip
    assert read(root) == {"Manufacturer": "GE"}


@pytest.mark.parametrize(
    "telling",
    ["t1_mprage_20190311", "study 2019-03-11", "11.03.2019 mprage", "2019_3_11_t1", "11/03/19",
     "t1 12Mar2019", "3 march 19", "Doe^Jane", "jane.doe@hospital.org", "MRN1234567",
     "t1 sub-0042", "T1 for 0042", "of Mar 05 2021", "March 5, 2021", "Jan-05-1980", "3-5-21",
     "20-3-5", "03 05 21", "2021W12", "SN12345", "T1 00-42"],
)  # fmt: skip
def test_a_text_that_may_tell_of_a_person_or_a_day_is_left_out(
    tiny_bids: TinyBids, telling: str
) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", ManufacturersModelName=telling, Manufacturer="GE")
    assert read(root) == {"Manufacturer": "GE"}


@pytest.mark.parametrize(
    "harmless",
    ["MAGNETOM Prisma_fit", "DISCOVERY MR750w", "Ingenia Elition X", "Signa HDxt", "uMR 790",
     "TrioTim", "Achieva dStream", "Vantage Titan 3T"],
)  # fmt: skip
def test_names_of_models_stay(tiny_bids: TinyBids, harmless: str) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", ManufacturersModelName=harmless)
    assert read(root) == {"ManufacturersModelName": harmless}


@pytest.mark.parametrize(
    ("protocol", "left"),
    [("t1_mprage_sag_p2_iso_1.0", "t1_mprage_sag_p2_iso"), ("MPRAGE 1x1x1", "MPRAGE_1x1x1"),
     ("ADNI3 Accelerated", "ADNI3_Accelerated"), ("T1W_3D_TFE 0.8mm", "T1W_3D_TFE_0.8mm"),
     ("t1 for John Smith DOB 5.3.61", "t1"), ("mprage 3-5-61 Roe", "mprage"),
     ("Smith_0042_T1w", "T1w")],
)  # fmt: skip
def test_of_a_protocol_the_words_of_sequences_stay(
    tiny_bids: TinyBids, protocol: str, left: str
) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", ProtocolName=protocol)
    assert read(root) == {"ProtocolName": left}


def test_a_station_is_told_apart_and_not_named(tiny_bids: TinyBids) -> None:
    root = tiny_bids([RUN])
    found = []
    for station in ("AWP45121", "awp45121", 12345678, 12345679, "SMITH JOHN"):
        put(root, "T1w.json", StationName=station)
        found.append(read(root)["StationName"])
    assert found[0] == found[1]
    assert len(set(found)) == 4
    assert all(re.fullmatch("[0-9a-f]{8}", one) for one in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (3.0, "3"), ("3.0", "3"), ("3T", "3"), (2.89362, "2.89"), (1.4999, "1.5")],
)
def test_a_field_strength_is_a_number(tiny_bids: TinyBids, value: object, text: str) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", MagneticFieldStrength=value)
    assert read(root) == {"MagneticFieldStrength": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [("  a \t\n b\x00\u202e\u200bc ", "a b c"), ("x" * 200, "x" * LONGEST), ("<b>&", "<b>&")],
)
def test_texts_become_one_short_line(tiny_bids: TinyBids, value: object, text: str) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", Manufacturer=value)
    assert read(root) == {"Manufacturer": text}


@pytest.mark.parametrize("value", [None, True, [], ["GE"], {"a": 1}, "", " \t", float("nan")])
def test_other_values_are_none(tiny_bids: TinyBids, value: object) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", Manufacturer=value)
    assert read(root) == {}


# what becomes of it --------------------------------------------------------------------------


def test_it_stands_in_the_record(tiny_bids: TinyBids, tmp_path: Path) -> None:
    root = tiny_bids([RUN])
    put(root, "T1w.json", Manufacturer="GE")
    job = Job(run_of(root / RUN, root), Recipe(("mask",)), Place(tmp_path, tmp_path), "1", 1)
    assert describe(job, None).scanner == {"Manufacturer": "GE"}


def test_a_scanner_is_maker_model_field_and_station() -> None:
    one = {"Manufacturer": "GE", "StationName": "A", "ProtocolName": "p"}
    assert stratum_of(one) == stratum_of({**one, "ProtocolName": "q"})
    assert stratum_of(one) != stratum_of({**one, "StationName": "B"})
    assert stratum_of({"ProtocolName": "p"}) is stratum_of({}) is None
