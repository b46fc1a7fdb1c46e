"""What OUTPUT_DIR says of itself and of the raw dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_strip.dataset.description import scheme_of
from bids_strip.output.derivative_description import dataset_description


@pytest.mark.parametrize(
    ("out", "doi", "raw_uri", "expected"),
    [
        ("raw/derivatives/x", None, None, "../.."),
        ("raw/derivatives/x/y", "doi:10.1/ds", None, "../../.."),
        ("out", "doi:10.18112/openneuro.ds000011.v1.0.0", None,
         "doi:10.18112/openneuro.ds000011.v1.0.0"),
        ("out", "10.18112/ds", None, "doi:10.18112/ds"),
        ("out", "https://doi.org/10.18112/ds", None, "doi:10.18112/ds"),
        ("out", "n/a", None, "file://{tmp}/raw"),
        ("out", None, None, "file://{tmp}/raw"),
        ("raw/derivatives/x", "doi:10.1/ds", "https://example.org/ds", "https://example.org/ds"),
    ],
)  # fmt: skip
def test_link_to_the_raw_data(
    tmp_path: Path, out: str, doi: str | None, raw_uri: str | None, expected: str
) -> None:
    found = dataset_description(
        tmp_path / "raw",
        tmp_path / out,
        version="0.1.0",
        source={"DatasetDOI": doi} if doi else {},
        raw_uri=raw_uri,
    )
    assert found["DatasetLinks"] == {"raw": expected.format(tmp=tmp_path)}
    assert ("SourceDatasets" in found) == (doi is not None and "10." in doi)


def test_a_link_that_nobody_can_read_is_no_uri(tmp_path: Path) -> None:
    """It may lie in OUTPUT_DIR already."""
    assert scheme_of("http://[host/ds") is None
    assert [scheme_of(one) for one in ("doi:10.1/x", "../..")] == ["doi", ""]
    found = dataset_description(None, tmp_path, version="1", raw_uri="http://[host/ds")
    assert found["DatasetLinks"] == {"raw": "http://[host/ds"}
    assert "SourceDatasets" not in found


def test_description_in_full(tmp_path: Path) -> None:
    found = dataset_description(
        None,
        tmp_path,
        version="0.1.0",
        source={"DatasetDOI": "doi:10.1/ds"},
    )
    assert found == {
        "Name": "bids_strip: brain masks, corrected images, tissues and quality metrics",
        "BIDSVersion": "1.11.1",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "bids_strip", "Version": "0.1.0"}],
        "DatasetLinks": {"raw": "doi:10.1/ds"},
        "SourceDatasets": [{"DOI": "doi:10.1/ds", "URL": "https://doi.org/10.1/ds"}],
    }


def test_description_knows_nothing_it_was_not_told(tmp_path: Path) -> None:
    found = dataset_description(None, tmp_path, version="0.1.0")
    assert set(found) == {"Name", "BIDSVersion", "DatasetType", "GeneratedBy"}
    assert found["GeneratedBy"] == [{"Name": "bids_strip", "Version": "0.1.0"}]
