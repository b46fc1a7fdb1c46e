"""Template spaces: how they are spelled, where they are found, what is said when they are not."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli, templates
from bids_strip.errors import ExitCode, TemplateError, UsageError
from bids_strip.space import Space, parse_space
from bids_strip.templates import find_templates, read_template
from tests.fakes import flip_a_bit

MNI = "MNI152NLin2009cAsym"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TEMPLATEFLOW_HOME of one template at two resolutions, and one with cohorts."""
    root = tmp_path / "templateflow"
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(root))
    for stem, shape in ((f"tpl-{MNI}/tpl-{MNI}_res-01", (8, 9, 7)),
                        (f"tpl-{MNI}/tpl-{MNI}_res-02", (4, 5, 4)),
                        ("tpl-Kids/cohort-2/tpl-Kids_cohort-2_res-1", (4, 4, 4))):  # fmt: skip
        (root / stem).parent.mkdir(parents=True, exist_ok=True)
        data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        nib.save(nib.Nifti1Image(data, np.eye(4)), root / f"{stem}_T1w.nii.gz")
        mask = (data > 20).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, np.eye(4)), root / f"{stem}_desc-brain_mask.nii.gz")
    return root


@pytest.mark.parametrize(
    ("text", "space", "again"),
    [
        (MNI, Space(MNI), MNI),
        (f"{MNI}:res-1", Space(MNI, None, 1), f"{MNI}:res-1"),
        (f"{MNI}:res-01", Space(MNI, None, 1), f"{MNI}:res-1"),
        ("Kids:cohort-2", Space("Kids", 2), "Kids:cohort-2"),
        ("Kids:res-2:cohort-2", Space("Kids", 2, 2), "Kids:cohort-2:res-2"),
    ],
)
def test_spellings(text: str, space: Space, again: str) -> None:
    assert parse_space(text) == space
    assert str(space) == again


@pytest.mark.parametrize(
    "text",
    ["T1w", "anat", "fsnative", "fsaverage:den-10k", f"{MNI}:res-native", f"{MNI}:1",
     f"{MNI}:res-1:res-2", "", "../x", f"{MNI}:res-0"],
)  # fmt: skip
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--output-spaces") as caught:
        parse_space(text)
    assert "\n" not in str(caught.value)


def test_found_at_the_resolution_asked_for(home: Path) -> None:
    one, two, kids = find_templates(
        [f"{MNI}:res-1", f"{MNI}:res-2", "Kids:cohort-2:res-1"], offline=True
    )
    assert one.image == home / f"tpl-{MNI}" / f"tpl-{MNI}_res-01_T1w.nii.gz"
    assert two.mask == home / f"tpl-{MNI}" / f"tpl-{MNI}_res-02_desc-brain_mask.nii.gz"
    assert kids.image.name == "tpl-Kids_cohort-2_res-1_T1w.nii.gz"
    found = read_template(one)
    assert found.image.data.shape == found.mask.shape == (8, 9, 7)
    assert np.array_equal(found.mask, found.image.data > 20)


def test_without_a_resolution_the_first(home: Path) -> None:
    (found,) = find_templates([MNI], offline=True)
    assert found.image.name == f"tpl-{MNI}_res-01_T1w.nii.gz"


@pytest.mark.parametrize("spoil", ["absent", "empty image", "empty mask"])
def test_what_is_absent_is_said_in_one_line(home: Path, spoil: str) -> None:
    """An empty file is TemplateFlow's promise of one."""
    kind = "desc-brain_mask" if spoil == "empty mask" else "T1w"
    path = home / f"tpl-{MNI}" / f"tpl-{MNI}_res-01_{kind}.nii.gz"
    path.unlink() if spoil == "absent" else path.write_bytes(b"")
    with pytest.raises(TemplateError) as caught:
        find_templates([f"{MNI}:res-1"], offline=True)
    said = str(caught.value)
    assert caught.value.exit_code is ExitCode.NO_INPUT
    for part in (f"tpl-{MNI}_res-01", f"{MNI}:res-1", f"TEMPLATEFLOW_HOME is {home}",
                 "templateflow.api import get", "resolution=1", "--offline"):  # fmt: skip
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize("where", ["a file", "none below a file", "read-only"])
def test_where_nobody_may_write_another_folder_is_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As for a user without HOME in a container."""
    (tmp_path / "file").touch()
    home = {"a file": tmp_path / "file", "none below a file": tmp_path / "file" / "x"}.get(
        where, tmp_path / "new"
    )
    if where == "read-only":  # a stand-in, for root may write everywhere
        monkeypatch.setattr(templates.os, "access", lambda *_: False)
    with pytest.raises(TemplateError) as caught:
        find_templates([MNI], offline=True, home=home)
    said = str(caught.value)
    assert "set TEMPLATEFLOW_HOME to a folder that you may write" in said
    assert "TEMPLATEFLOW_HOME=FOLDER python" in said


def test_a_folder_that_can_be_made_is_named_in_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        find_templates([MNI], offline=True, home=tmp_path / "new" / "one")
    assert f"TEMPLATEFLOW_HOME={tmp_path}/new/one python" in str(caught.value)
    assert "may write" not in str(caught.value)


def test_offline_starts_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_fetch", lambda *_: pytest.fail("asked a network"))
    with pytest.raises(TemplateError):
        find_templates(["MNI152NLin6Asym"], offline=True)


def test_what_is_fetched_is_kept_and_nothing_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in of the package leaves empty files about, as templateflow does."""
    (tmp_path / "fake.py").write_text(
        "import os, pathlib, sys\nhome = pathlib.Path(os.environ['TEMPLATEFLOW_HOME'])\n"
        "folder = home / f'tpl-{sys.argv[1]}'\nfolder.mkdir()\n"
        "(folder / 'skeleton.nii.gz').touch()\n"
        "for kind in ('T1w', 'desc-brain_mask'):\n"
        "    path = folder / f'tpl-{sys.argv[1]}_res-02_{kind}.nii.gz'\n"
        "    path.write_bytes(b'x')\n    print(path)\n"
    )
    monkeypatch.setattr(templates, "_GET", (tmp_path / "fake.py").read_text())
    (found,) = find_templates(["Another:res-2"], offline=False)
    assert found.image.parent == home / "tpl-Another"
    assert {p.name for p in found.image.parent.iterdir()} == {
        "tpl-Another_res-02_T1w.nii.gz", "tpl-Another_res-02_desc-brain_mask.nii.gz",
    }  # fmt: skip


def test_a_fetch_that_fails_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_GET", "raise OSError('no way to the network')")
    with pytest.raises(TemplateError, match="no way to the network"):
        find_templates(["Another"], offline=False)
    assert not (home / "tpl-Another").exists()


def test_a_stripped_image_is_its_own_mask(home: Path) -> None:
    folder = home / "tpl-Bare"
    folder.mkdir()
    data = np.zeros((4, 4, 4), np.float32)
    data[1:3, 1:3, 1:3] = 5
    nib.save(nib.Nifti1Image(data, np.eye(4)), folder / "tpl-Bare_res-01_desc-brain_T1w.nii.gz")
    (files,) = find_templates(["Bare:res-1"], offline=True)
    assert files.mask is None
    assert np.array_equal(read_template(files).mask, data > 0)


@pytest.mark.parametrize(
    ("space", "source"),
    [(f"{MNI}:res-1", f"tpl-{MNI}/tpl-{MNI}_res-01_T1w.nii.gz"),
     ("Kids:cohort-2:res-1", "tpl-Kids/cohort-2/tpl-Kids_cohort-2_res-1_T1w.nii.gz")],
)  # fmt: skip
def test_the_source_is_below_the_home_wherever_that_lies(
    home: Path, tmp_path: Path, space: str, source: str
) -> None:
    """Below a folder that is named like a template's, too: sidecars give it as their reference."""
    elsewhere = home.rename(tmp_path / "tpl-cache")
    (files,) = find_templates([space], offline=True, home=elsewhere)
    assert read_template(files).source == source


def test_a_damaged_template_is_an_error_of_ours(home: Path) -> None:
    (files,) = find_templates([f"{MNI}:res-1"], offline=True)
    files.image.write_bytes(files.image.read_bytes()[:60])
    with pytest.raises(TemplateError, match="fetch it anew"):
        read_template(files)


@pytest.mark.parametrize("kind", ["image", "mask"])
@pytest.mark.parametrize("spoil", ["a bit", "the stream", "the header"])
def test_what_is_damaged_inside_is_named(home: Path, kind: str, spoil: str) -> None:
    """A changed voxel too, of which gzip's checksum alone tells."""
    (files,) = find_templates([f"{MNI}:res-1"], offline=True)
    path = files.image if kind == "image" else files.mask
    assert path is not None
    if spoil == "a bit":
        flip_a_bit(path)
    elif spoil == "the stream":
        path.write_bytes(path.read_bytes()[:12] + b"\xff" * 200)
    else:
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[70:72] = b"\x77\x77"  # no type of voxels
        path.write_bytes(gzip.compress(content))
    with pytest.raises(TemplateError, match=r"cannot be read.*fetch it anew") as caught:
        read_template(files)
    assert str(path) in str(caught.value)


def test_the_command_ends_before_any_run(
    home: Path, phantoms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    arguments = [str(root), str(tmp_path / "out"), "participant", "--offline"]
    assert cli.main([*arguments, "--output-spaces", f"{MNI}:res-7"]) == ExitCode.NO_INPUT
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("bids_strip: ")
    assert f"tpl-{MNI}_res-07_T1w.nii.gz" in said
    assert not list((tmp_path / "out").glob("sub-*"))
