from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_strip.dataset.content import describe_missing, describe_refusal
from bids_strip.dataset.description import read_description
from bids_strip.dataset.selection import select
from bids_strip.dataset.walk import files_in_anat
from bids_strip.errors import DatasetError, MissingInputError, SelectionError, UsageError
from bids_strip.settings import Settings

TinyBids = Callable[..., Path]

MIXED = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02/ses-1/anat/sub-02_ses-1_run-01_T1w.nii.gz",
    "sub-02/ses-1/anat/sub-02_ses-1_run-02_T1w.nii",
    "sub-02/ses-2/anat/sub-02_ses-2_acq-hi_T1w.nii.gz",
    "sub-02/ses-2/anat/sub-02_ses-2_T2w.nii.gz",
    "sub-02/ses-2/func/sub-02_ses-2_task-rest_bold.nii.gz",
    "sub-03/func/sub-03_task-rest_bold.nii.gz",
)
S01 = "sub-01_T1w"
S02_1_1 = "sub-02_ses-1_run-01_T1w"
S02_1_2 = "sub-02_ses-1_run-02_T1w"
S02_2 = "sub-02_ses-2_acq-hi_T1w"


@pytest.fixture
def mixed(tiny_bids: TinyBids) -> Path:
    return tiny_bids(MIXED)


def names(root: Path, **options: object) -> list[str]:
    return [run.name for run in select(settings(root, **options)).runs]


def settings(root: Path, **options: object) -> Settings:
    return Settings(root, root / "derivatives" / "bids_strip", "participant", **options)


def test_a_run_keeps_order_and_padding_of_its_entities(mixed: Path) -> None:
    run = select(settings(mixed)).runs[1]
    assert run.relative == "sub-02/ses-1/anat/sub-02_ses-1_run-01_T1w.nii.gz"
    assert run.path == mixed / run.relative
    assert run.entities == (("sub", "02"), ("ses", "1"), ("run", "01"))
    assert run.suffix == "T1w"


def test_all_t1w_by_default_sorted(mixed: Path) -> None:
    assert names(mixed) == [S01, S02_1_1, S02_1_2, S02_2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"participant_label": ("01",)}, [S01]),
        ({"participant_label": ("sub-02", "sub-01")}, [S01, S02_1_1, S02_1_2, S02_2]),
        ({"session_label": ("ses-2",)}, [S01, S02_2]),  # sub-01 has no session: stays in
        ({"session_label": ("1",)}, [S01, S02_1_1, S02_1_2]),
        ({"run_label": ("1",)}, [S01, S02_1_1, S02_2]),  # run-1 is run-01
        ({"run_label": ("run-002",)}, [S01, S02_1_2, S02_2]),
        ({"acquisition_label": ("hi",)}, [S01, S02_1_1, S02_1_2, S02_2]),
        ({"participant_label": ("02",), "session_label": ("1",), "run_label": ("2",)}, [S02_1_2]),
        ({"modality": ("T2w",)}, ["sub-02_ses-2_T2w"]),
        ({"modality": ("T2w", "T1w"), "participant_label": ("02",), "session_label": ("2",)},
         ["sub-02_ses-2_T2w", S02_2]),
    ],
)  # fmt: skip
def test_labels(mixed: Path, options: dict[str, object], expected: list[str]) -> None:
    assert sorted(names(mixed, **options)) == sorted(expected)


def test_labels_in_a_file(mixed: Path, tmp_path: Path) -> None:
    labels = tmp_path / "who.txt"
    labels.write_text("# whom\n\nsub-01  # first\r\n01\n", encoding="utf-8")
    assert names(mixed, participant_label=(str(labels),)) == [S01]


@pytest.mark.parametrize("text", [None, "# nobody\n"])
def test_a_file_of_labels_that_is_absent_or_empty(
    mixed: Path, tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "who.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"who\.txt: .*one label a line|who\.txt: holds no label"):
        select(settings(mixed, participant_label=(str(tmp_path / "who.txt"),)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"participant_label": ("01", "09", "1")}, r"label 09, 1: .*present: 01, 02, 03"),
        ({"participant_label": ("0*",)}, r"0\*: no such participant"),
        ({"participant_label": ("01,02",)}, r"present: 01, 02, 03; separate labels by blanks$"),
        ({"session_label": ("1,2",)}, r"present: 1, 2; separate labels by blanks$"),
        ({"session_label": ("3", "1")}, r"present: 1, 2$"),
        ({"session_label": ("3", "1")}, r"session-label 3: no such session; present: 1, 2"),
        ({"session_label": ("01",)}, r"session-label 01"),  # sessions are text, not numbers
        ({"participant_label": ("02",), "acquisition_label": ("lo",)}, r"present: hi"),
        ({"participant_label": ("01",), "session_label": ("3",)}, r"label 3: .*present: 1, 2"),
        ({"participant_label": ("02",), "session_label": ("2",), "modality": ("T1w",),
          "run_label": ("1",), "acquisition_label": ("hi",)}, None),
    ],
)  # fmt: skip
def test_absent_labels(mixed: Path, options: dict[str, object], message: str | None) -> None:
    if message is None:
        assert names(mixed, **options) == [S02_2]
        return
    with pytest.raises(SelectionError, match=message) as caught:
        select(settings(mixed, **options))
    assert caught.value.exit_code == 18
    assert "\n" not in str(caught.value)


def test_a_label_of_another_participant_is_no_mistake(mixed: Path) -> None:
    """Platforms and job arrays give each participant the sessions of the whole dataset."""
    assert names(mixed, participant_label=("01",), session_label=("1", "2")) == [S01]
    assert names(mixed, participant_label=("01",), acquisition_label=("hi",)) == [S01]


def test_others_labels_do_not_make_a_match(tiny_bids: TinyBids) -> None:
    root = tiny_bids(
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-02/ses-2/anat/sub-02_ses-2_T1w.nii.gz")
    )
    assert names(root, participant_label=("01",), session_label=("1", "2")) == ["sub-01_ses-1_T1w"]
    with pytest.raises(
        SelectionError, match=r"none of the T1w images \(1\) passes --session-label 2"
    ):
        select(settings(root, participant_label=("01",), session_label=("2",)))


def test_filters_that_leave_nothing(tiny_bids: TinyBids) -> None:
    root = tiny_bids(
        (
            "sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w.nii.gz",
            "sub-01/ses-2/anat/sub-01_ses-2_run-2_T1w.nii.gz",
        )
    )
    with pytest.raises(SelectionError, match="--session-label 1 with --run-label 2"):
        select(settings(root, session_label=("1",), run_label=("2",)))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [S01, S02_1_1, S02_1_2, S02_2]),
        ({"session": "1"}, [S02_1_1, S02_1_2]),  # unlike a label option: no session does not pass
        ({"session": None}, [S01]),
        ({"session": [None, "2"]}, [S01, S02_2]),
        ({"run": 2}, [S02_1_2]),
        ({"run": ["1"]}, [S02_1_1]),
        ({"acquisition": "*"}, [S02_2]),
        ({"acquisition": "Query.ANY"}, [S02_2]),
        ({"session": "Query.NONE"}, [S01]),
        ({"session": "Query.OPTIONAL", "suffix": "T1w"}, [S01, S02_1_1, S02_1_2, S02_2]),
        ({"datatype": "anat", "subject": ["01"], "extension": [".nii", ".nii.gz"]}, [S01]),
    ],
)
def test_filter_file(
    mixed: Path, tmp_path: Path, query: dict[str, object], expected: list[str]
) -> None:
    file = tmp_path / "filter.json"
    file.write_text(json.dumps({"t1w": query, "bold": {"task": "rest"}}), encoding="utf-8")
    assert names(mixed, bids_filter_file=file) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "has to look like"),
        ('{"t1w": 3}', "has to look like"),
        ('{"t1w": {"ses": "1"}}', "'ses' is no entity of pybids"),
        ('{"t1w": {"session": {"a": 1}}}', "'session' has to be a label"),
    ],
)
def test_bad_filter_file(mixed: Path, tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "filter.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        select(settings(mixed, bids_filter_file=file))


@pytest.mark.parametrize("key", ["t1w", "T1w", "T1W"])
def test_the_key_of_a_filter_is_written_as_one_likes(mixed: Path, tmp_path: Path, key: str) -> None:
    file = tmp_path / "filter.json"
    file.write_text(json.dumps({key: {"session": "1"}}))
    found = select(settings(mixed, bids_filter_file=file))
    assert [run.name for run in found.runs] == [S02_1_1, S02_1_2]
    assert not [note for note in found.notes if "--bids-filter-file" in note]


def test_a_filter_of_other_images_is_told_of(mixed: Path, tmp_path: Path) -> None:
    file = tmp_path / "filter.json"
    file.write_text(json.dumps({"bold": {"task": "rest"}}))
    found = select(settings(mixed, bids_filter_file=file))
    assert len(found.runs) == 4
    (told,) = (note for note in found.notes if "--bids-filter-file" in note)
    assert "asks nothing of t1w" in told


def test_filter_file_that_leaves_nothing(mixed: Path, tmp_path: Path) -> None:
    file = tmp_path / "filter.json"
    file.write_text('{"t1w": {"session": "7"}}', encoding="utf-8")
    with pytest.raises(SelectionError, match=r"--bids-filter-file .*filter\.json"):
        select(settings(mixed, bids_filter_file=file))


def test_what_is_not_walked(tiny_bids: TinyBids) -> None:
    image = "sub-01/anat/sub-01_T1w.nii.gz"
    elsewhere = ("derivatives/x", "sourcedata", "code", "stimuli", ".git", "rawdata")
    root = tiny_bids(
        (
            image,
            *(f"{folder}/{image}" for folder in elsewhere),
            "sub-01/derivatives/anat/sub-01_run-1_T1w.nii.gz",
            "sub-01/ses-1/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
            "sub-01/func/sub-01_run-2_T1w.nii.gz",
            "sub-01/sub-01_run-3_T1w.nii.gz",
        )
    )
    assert [run.relative for run in select(settings(root)).runs] == [image]


@pytest.mark.parametrize(
    "name",
    [
        "T1w.nii.gz",
        "sub-01_T1w.json",
        "sub-01_T1w.nii.gz.part",
        "._sub-01_T1w.nii.gz",
        "sub-02_T1w.nii.gz",  # not this folder's participant
        "sub-01_ses-1_T1w.nii.gz",  # a session that the folder does not have
        "sub-01_run-1a_T1w.nii.gz",
        "sub-01_run-1_run-2_T1w.nii.gz",
        "sub-01_foo-1_T1w.nii.gz",
        "sub-01_defaced_T1w.nii.gz",
        "sub-01_desc-preproc_T1w.nii.gz",
        "sub-01_space-MNI_T1w.nii.gz",
        "sub-01_part-phase_T1w.nii.gz",
        "sub-01_part-real_T1w.nii.gz",
        "sub-01_part-imag_T1w.nii.gz",
    ],
)
def test_names_that_are_left_out(tiny_bids: TinyBids, name: str) -> None:
    root = tiny_bids(("sub-01/anat/sub-01_run-9_T1w.nii.gz", f"sub-01/anat/{name}"))
    assert names(root) == ["sub-01_run-9_T1w"]


@pytest.mark.parametrize("folder", ["sub-01_old/anat", "sub-01/ses-1_bad/anat", "sub-0/1/anat"])
def test_folders_that_pybids_takes_for_others_are_left_out(
    tiny_bids: TinyBids, folder: str
) -> None:
    """A backup beside a participant is not the participant: its mask would replace theirs."""
    name = "sub-01_ses-1_T1w" if "ses" in folder else "sub-01_T1w"
    backup = f"{folder}/{name}.nii.gz"
    found = select(settings(tiny_bids(("sub-02/anat/sub-02_T1w.nii.gz", backup))))
    assert [run.name for run in found.runs] == ["sub-02_T1w"]
    assert backup in found.not_bids or "/1/" in backup


def test_names_that_stay(tiny_bids: TinyBids) -> None:
    stems = [
        "sub-01_acq-a_ce-b_rec-c_run-001_echo-2_flip-1_inv-2_mt-on_part-mag",
        "sub-01_chunk-1",
        "sub-01_task-rest",
    ]
    root = tiny_bids(f"sub-01/anat/{stem}_T1w.nii.gz" for stem in stems)
    assert [run.stem for run in select(settings(root)).runs] == stems


def test_a_name_without_its_folders_session_is_left_out(tiny_bids: TinyBids) -> None:
    root = tiny_bids(("sub-01/ses-1/anat/sub-01_T1w.nii.gz",))
    with pytest.raises(
        MissingInputError, match=r"ses-1/anat/sub-01_T1w\.nii\.gz is no raw BIDS name"
    ):
        select(settings(root))


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (MIXED, {"modality": ("FLAIR",)}, "no FLAIR image in anat of 3 participants"),
        (MIXED, {"participant_label": ("03",)}, "no T1w image in anat of sub-03"),
        ((), {}, r"holds no sub-\* folder; .* holds dataset_description.json"),
    ],
)
def test_no_image_of_the_modality(
    tiny_bids: TinyBids, files: tuple[str, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(MissingInputError, match=message) as caught:
        select(settings(tiny_bids(files), **options))
    assert caught.value.exit_code == 66


def test_absent_dataset_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(
        DatasetError, match=r"no such folder .* holds other\); .*bind mount"
    ) as caught:
        select(settings(tmp_path / "data"))
    assert caught.value.exit_code == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not JSON"),
    ],
)
def test_unreadable_description(tiny_bids: TinyBids, text: bytes | None, message: str) -> None:
    root = tiny_bids(())
    file = root / "dataset_description.json"
    file.unlink() if text is None else file.write_bytes(text)
    with pytest.raises(DatasetError, match=message):
        read_description(root)


def test_a_file_for_bids_dir(tmp_path: Path) -> None:
    (tmp_path / "x.nii").touch()
    with pytest.raises(DatasetError, match="not a folder"):
        read_description(tmp_path / "x.nii")


def test_content_that_is_not_here(tiny_bids: TinyBids) -> None:
    root = tiny_bids(MIXED[:1])
    folder = root / "sub-01" / "anat"
    annexed, moved, loop = (folder / f"sub-01_run-{n}_T1w.nii.gz" for n in (1, 2, 3))
    annexed.symlink_to("../../.git/annex/objects/a/b/c.nii.gz")
    moved.symlink_to("/nowhere/c.nii.gz")
    loop.symlink_to(loop.name)
    unlocked = folder / "sub-01_run-4_T1w.nii.gz"
    unlocked.write_text("/annex/objects/MD5E-s1--0.nii.gz\n", encoding="utf-8")

    assert len(names(root)) == 5
    fetch = "content is not here; run: datalad get sub-01/anat/sub-01_run-{}_T1w.nii.gz"
    assert describe_missing(annexed) == fetch.format(1)
    assert describe_missing(unlocked) == fetch.format(4)
    message = describe_missing(moved)
    assert message is not None
    assert message.startswith(fetch.format(2))
    assert "/nowhere/c.nii.gz" in message
    assert describe_missing(loop) is not None
    assert describe_missing(root / MIXED[0]) is None
    assert describe_missing(folder / "absent.nii.gz") is None
    unlocked.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert str(describe_missing(unlocked)).endswith("run in its dataset: git lfs pull")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Among images, records and descriptions alike; it is refused by who reads it."""
    pipe = tmp_path / "sub-01_T1w.nii.gz"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # so that a reader is seen here instead of waiting
    try:
        os.write(writer, b"/annex/objects/MD5E-s1--0.nii.gz\n")
        assert describe_missing(pipe) is None
    finally:
        os.close(writer)


def test_what_the_system_refuses_is_told_from_what_is_damaged() -> None:
    remedies = {
        errno.EACCES: "the right to read",
        errno.EPERM: "the right to read",
        errno.EIO: "disk or network",
        errno.ESTALE: "disk or network",
    }
    for number, words in remedies.items():
        told = describe_refusal(OSError(number, os.strerror(number)))
        assert told is not None
        assert told.startswith(f"cannot be read ({os.strerror(number)}); ")
        assert words in told
    for damaged in (OSError("Expected 9 bytes, got 8"), OSError(errno.EINVAL, "x"), ValueError()):
        assert describe_refusal(damaged) is None


def test_links_to_folders_and_content_are_followed(tiny_bids: TinyBids, tmp_path: Path) -> None:
    store = tiny_bids(MIXED[:1], name="store")
    root = tiny_bids(())
    (root / "sub-01").symlink_to(store / "sub-01")
    (run,) = select(settings(root)).runs
    assert run.path == root / MIXED[0]  # not resolved: messages name what the user gave
    assert describe_missing(run.path) is None


def closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder refuse to be listed, whoever asks."""
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_a_participant_whose_folder_is_closed_is_told_of(mixed: Path, monkeypatch) -> None:
    """The others are found; of the participant nothing, also what could be seen."""
    closed(mixed / "sub-02" / "ses-2" / "anat", monkeypatch)
    found = select(settings(mixed))
    assert [run.name for run in found.runs] == [S01]
    assert len(found.closed) == 1
    assert f"{mixed}/sub-02/ses-2/anat: Permission denied" in found.closed[0]
    with pytest.raises(DatasetError, match="sub-02"):
        select(settings(mixed, participant_label=("02",)))
    assert names(mixed, participant_label=("01",)) == [S01]


def test_a_folder_that_lists_names_alone_is_told_of(mixed: Path, without_search) -> None:
    """Read, not search (mode 444): nothing below can be looked at; at both levels."""
    with without_search(mixed / "sub-02"):
        found = select(settings(mixed))
        with pytest.raises(DatasetError, match=r"sub-02/ses-[12]: cannot be read \(Permission"):
            list(files_in_anat(mixed, "sub-02", ".*"))
        with pytest.raises(DatasetError, match="sub-02"):
            select(settings(mixed, participant_label=("02",)))
    assert [run.name for run in found.runs] == [S01]
    (told,) = found.closed
    assert told.startswith(f"{mixed}/sub-02/ses-")
    assert "to enter its folders, or leave the participant out" in told


def test_content_that_nobody_may_look_at(mixed: Path, tmp_path: Path, without_search) -> None:
    """By its own name or by that of a link to it; the system's own words are told."""
    image = mixed / MIXED[0]
    (link := tmp_path / "link").symlink_to(image)
    (anat := tmp_path / "anat").symlink_to(image.parent / "deeper")
    with without_search(image.parent):
        for path in (image, link, anat):
            told = describe_missing(path)
            assert told is not None
            assert told.startswith("cannot be read (Permission denied); ")
    assert describe_missing(image) is None


@pytest.mark.parametrize("link", ["sub-02", "sub-02/ses-2", "sub-02/ses-2/anat"])
def test_a_folder_that_is_a_link_to_nothing_is_told_of(
    mixed: Path, tmp_path: Path, link: str
) -> None:
    """A store that is not mounted: as a folder that cannot be opened, not as none."""
    folder = mixed / link
    folder.rename(tmp_path / "away")
    folder.symlink_to("/nowhere/store")
    found = select(settings(mixed))
    assert [run.name for run in found.runs] == [S01]
    (told,) = found.closed
    assert told.startswith(f"{folder}: content is not here")
    assert "give access to /nowhere/store" in told
    assert "--participant-label" in told
    with pytest.raises(DatasetError, match="content is not here"):
        select(settings(mixed, participant_label=("02",)))
    assert names(mixed, participant_label=("01",)) == [S01]


def test_files_whose_content_is_away_are_no_folders(mixed: Path) -> None:
    """Datalad's links beside the folders; pages of an OUTPUT_DIR begin as participants do."""
    for name in ("sub-01.html", "sub-09.html", "sub-02/ses-1.tsv", "sub-02/sub-02_sessions.tsv"):
        (mixed / name).symlink_to(".git/annex/objects/a/b/c")
    found = select(settings(mixed))
    assert len(found.runs) == 4
    assert found.closed == ()


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({"modality": ("T1w", "T2W", "t1w")}, "T2W t1w"),
        ({"modality": ("T1w", "T2w"), "session_label": ("1",)}, "T2w"),
        ({"modality": ("T1w", "T2w")}, None),
        ({}, None),
    ],
)
def test_a_suffix_without_images_beside_one_that_has_some_is_told(
    mixed: Path, options: dict[str, Any], left_out: str | None
) -> None:
    """In the words of the group level; the others are worked on."""
    found = select(settings(mixed, **options))
    assert found.runs
    told = [note for note in found.notes if "left out" in note]
    words = f"--modality {left_out}: no such images here, or none selected; left out"
    assert told == ([words] if left_out else [])


def test_participants_without_an_image_are_told_of(tiny_bids: TinyBids) -> None:
    """Once each: not those whose names were left out, nor those whose folders are closed."""
    root = tiny_bids(
        (
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-03/func/sub-03_task-rest_bold.nii.gz",
            "sub-04/anat/sub-04_part-phase_T1w.nii.gz",
            "sub-05/ses-1/anat/sub-05_ses-1_T2w.nii.gz",
            "sub-06/anat/sub-06_copy_T1w.nii.gz",
        )
    )
    (root / "sub-02").mkdir()
    (root / "sub-07").symlink_to("/nowhere")
    found = select(settings(root))
    assert [run.name for run in found.runs] == [S01]
    assert found.not_bids == ("sub-06/anat/sub-06_copy_T1w.nii.gz",)
    (told,) = found.notes
    assert told.startswith(f"{root}: 4 of 7 participants have no T1w image in anat ")
    assert "(sub-02, sub-03, sub-04, sub-05)" in told
    (told,) = select(settings(root, participant_label=("01", "03"))).notes
    assert "1 of 2 participants" in told
    assert "(sub-03)" in told
    assert select(settings(root, participant_label=("01",))).notes == ()
    (told,) = select(settings(root, modality=("T2w", "T1w"))).notes
    assert "3 of 7 participants have no T2w, T1w image in anat (sub-02, sub-03, sub-04)" in told


def test_of_many_without_an_image_a_few_are_named(tiny_bids: TinyBids) -> None:
    root = tiny_bids(("sub-01/anat/sub-01_T1w.nii.gz",))
    for number in range(10, 32):
        (root / f"sub-{number}").mkdir()
    (told,) = select(settings(root)).notes
    assert "22 of 23 participants" in told
    assert "(sub-10, sub-11, sub-12, sub-13, sub-14, ...)" in told


def test_what_a_closed_folder_may_hold_is_not_called_absent(mixed: Path, monkeypatch) -> None:
    closed(mixed / "sub-02" / "ses-2" / "anat", monkeypatch)
    found = select(settings(mixed, session_label=("2",)))
    assert [run.name for run in found.runs] == [S01]
    assert any("--session-label 2" in note for note in found.notes)
    with pytest.raises(MissingInputError, match=r"no T2w image.*Permission denied"):
        select(settings(mixed, modality=("T2w",)))


def test_only_the_named_participants_are_opened(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    opened: list[str] = []
    scandir = os.scandir

    def spy(folder: Path) -> object:
        opened.append(Path(folder).relative_to(mixed).as_posix())
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", spy)
    select(settings(mixed, participant_label=("01",)))
    assert [folder for folder in opened if folder != "."] == ["sub-01", "sub-01/anat"]


def test_pybids_is_imported_late_and_silently(mixed: Path) -> None:
    code = (
        "import sys, bids_strip.dataset.selection as d; assert 'bids' not in sys.modules\n"
        "from pathlib import Path; from bids_strip.settings import Settings\n"
        f"d.select(Settings(Path({str(mixed)!r}), Path('o'), 'participant')).runs\n"
        "assert 'bids' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


def test_a_user_without_a_home(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: no HOME, and an id that /etc/passwd does not know."""
    code = (
        "import os, pwd, sys\n"
        "def unknown(_): raise KeyError\n"
        "pwd.getpwuid = unknown\n"
        "from pathlib import Path\n"
        "from bids_strip.dataset.selection import select\n"
        "from bids_strip.settings import Settings\n"
        "places = [Path(a) for a in sys.argv[1:]]\n"
        "found = select(Settings(places[0], places[1], 'participant')).runs\n"
        "assert 'HOME' not in os.environ\n"
        "print(len(found))\n"
    )
    monkeypatch.delenv("HOME", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", code, mixed, mixed.parent / "out"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
