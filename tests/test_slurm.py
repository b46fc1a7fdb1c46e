"""The Slurm script: its text, and what bash makes of it beside stand-ins for sbatch and Apptainer.

A real Slurm runs it in `tests.benchmarks.test_slurm`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bids_strip import scanner
from bids_strip.cli import main
from bids_strip.errors import UsageError
from bids_strip.settings import Settings
from bids_strip.slurm import jobs
from bids_strip.slurm.arguments import read_arguments
from bids_strip.slurm.jobs import MOST_TASKS, Cluster, note, plan_work
from bids_strip.slurm.links import MOST_FOLDERS, in_few
from bids_strip.slurm.script import script

IMAGES = [f"sub-{n:02}/ses-{s}/anat/sub-{n:02}_ses-{s}_T1w.nii.gz" for n, s in
          ((1, 1), (1, 2), (2, 1), (3, 2), (4, 1), (5, 1))]  # fmt: skip
RECORD = '#!/bin/bash\nprintf "%s\\n" "$@" > "$RECORD_DIR/$(basename "$0")"; exit "${EXIT:-0}"\n'
SBATCH = """#!/bin/bash
n=$(ls "$RECORD_DIR" | grep -c '^sbatch.*args$')
printf '%s\\n' "$@" > "$RECORD_DIR/sbatch$n.args"
if [[ -f ${2-} ]]; then cat "$2"; else cat; fi > "$RECORD_DIR/sbatch$n.script"
[[ $n == "${REFUSE-}" ]] && exit 1
echo "$((100 + n));cluster"
"""
APPTAINER = """#!/bin/bash
printf '%s\\n' "$@" > "$RECORD_DIR/apptainer"
while [[ $1 != *.sif ]]; do
    if [[ $1 == --bind ]]; then [[ -e ${2%%:*} ]] || { echo "no ${2%%:*}" >&2; exit 255; }; fi
    if [[ $1 == --workdir ]]; then [[ -w $2 ]] || exit 254; fi
    shift
done
shift
exec "$@"
"""

Printed = Callable[..., str]
Bash = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def raw(tiny_bids) -> Path:
    return tiny_bids(IMAGES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def printed(raw: Path, out: Path, capsys) -> Printed:
    """What the sub-command prints."""

    def call(*options: str, bids: Path = raw, to: Path = out) -> str:
        assert main(["slurm-script", str(bids), str(to), *options]) == 0
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        return str(captured.out)

    return call


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where the stand-ins write down how they were called."""
    folder = tmp_path / "record"
    folder.mkdir()
    return folder


@pytest.fixture
def bash(tmp_path: Path, record: Path) -> Bash:
    """Run a script with stand-ins on PATH."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, text in (("sbatch", SBATCH), ("bids_strip", RECORD), ("apptainer", APPTAINER)):
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)

    def run(text: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "a job.sh"
        file.write_text(text)
        environment = {
            "PATH": f"{stand_ins}:{os.environ['PATH']}", "RECORD_DIR": str(record), **variables
        }  # fmt: skip
        return subprocess.run(
            ["bash", str(file), *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def task(number: int, **more: str) -> dict[str, str]:
    """Variables that Slurm sets for a task of an array."""
    return {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_MIN": "1", "SLURM_JOB_ID": "55",
            "SLURM_ARRAY_JOB_ID": "54", **more}  # fmt: skip


def directives(text: str) -> list[str]:
    """#SBATCH lines that sbatch reads: those before the first command."""
    lines = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith("#SBATCH "):
            lines.append(line.removeprefix("#SBATCH "))
    return lines


def settings_of(command: list[str]) -> Settings:
    from bids_strip.cli import parse

    return parse(command)


# Arguments -----------------------------------------------------------------------------------


def test_filters_and_what_follows_the_separator() -> None:
    cluster, command = read_arguments(
        ["/raw", "/out", "--time", "1:00", "--participant-label", "01", "sub-02", "--session-id",
         "1", "--mem", "8G", "--", "--border", "-1.5", "--mem", "3"]
    )  # fmt: skip
    assert (cluster.time, cluster.mem) == ("1:00", "8G")
    found = settings_of(command)
    assert (found.level, found.participant_label) == ("participant", ("01", "sub-02"))
    assert (found.session_label, found.border_mm, found.mem_gb) == (("1",), -1.5, 3.0)
    assert found.modality == ("T1w",)


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["/raw"], ["/raw", "/out", "participant"], ["/raw", "/out", "--border", "2"],
        ["/raw", "/out", "--mem", "lots"], ["/raw", "/out", "--mem", "0"],
        ["/raw", "/out", "--subjects-per-task", "0"], ["/raw", "/out", "--throttle", "-1"],
        ["/raw", "/out", "--cpus-per-task", "two"], ["/raw", "/out", "--setup", "a\nb"],
        ["/raw", "/out", "--mem", "4M"], ["/raw", "/out", "--sbatch=--array=1-9"],
        ["/raw", "/out", "--sbatch=--mem=9G"], ["/raw", "/out", "--sbatch=-c 4"],
        ["/raw", "/out", "--", "--no-such-option"], ["/raw", "/out", "--", "--border", "99"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage_is_64_and_a_line(arguments: list[str], capsys) -> None:
    assert main(["slurm-script", *arguments]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_an_option_of_the_program_is_sent_behind_the_separator(capsys) -> None:
    assert main(["slurm-script", "/raw", "/out", "--outputs", "mask"]) == 64
    said = capsys.readouterr().err
    assert "--outputs mask" in said
    assert "behind --" in said


def test_help(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["slurm-script", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "04:00:00" in text
    assert "default: 4G" in text


# Participants --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "count", "size", "tasks"),
    [(None, 8, 8, 1), (None, 25, 10, 3), (None, 10_000, 10, 1000), (None, 10_001, 11, 910),
     (None, 42_000, 42, 1000), (3, 8, 3, 3), (1, 2, 1, 2)],
)  # fmt: skip
def test_sharing_out(asked: int | None, count: int, size: int, tasks: int) -> None:
    labels = [f"{n:05}" for n in range(count)]
    cluster = Cluster(subjects_per_task=asked)
    work = plan_work(cluster, Settings(Path("/r"), Path("/o"), "participant"), [*labels, labels[0]])
    assert len(work.tasks) == tasks
    assert max(map(len, work.tasks)) == size
    assert [label for one in work.tasks for label in one] == labels
    assert ("MaxArraySize" in note(work)) == (tasks > MOST_TASKS)


def test_too_many_tasks_are_told_of() -> None:
    labels = [str(n) for n in range(MOST_TASKS + 1)]
    work = plan_work(
        Cluster(subjects_per_task=1), Settings(Path("/r"), Path("/o"), "participant"), labels
    )
    assert "--subjects-per-task" in note(work)


def test_ten_thousand_participants_fit_slurms_limit_of_a_script(bash: Bash, record: Path) -> None:
    """max_script_size is 4 MB; MaxArraySize 1001 stands for the indices 0 to 1000."""
    labels = [f"A{n:09}" for n in range(10_000)]
    settings = Settings(Path("/r"), Path("/o"), "participant")
    text = script(Cluster(), plan_work(Cluster(), settings, labels))
    assert len(text) < 1e6
    assert "--array=1-1000" in directives(text)


def test_participants_follow_the_filters(printed: Printed, bash: Bash, record: Path) -> None:
    text = printed("--session-label", "1", "--subjects-per-task", "2")
    assert "--array=1-2" in directives(text)
    done = bash(text, "both", **task(2))
    assert done.returncode == 0, done.stderr
    words = (record / "bids_strip").read_text().split()
    assert words[3:6] == ["--participant-label", "04", "05"]
    assert words[words.index("--session-label") + 1] == "1"


def test_files_of_labels_are_frozen(printed: Printed, tmp_path: Path, bash, record: Path) -> None:
    for name, text in (("who.txt", "sub-01\n03\n"), ("when.txt", "ses-2\n")):
        (tmp_path / name).write_text(text)
    text = printed("--participant-label", str(tmp_path / "who.txt"), "--session-label",
                   str(tmp_path / "when.txt"))  # fmt: skip
    (tmp_path / "who.txt").unlink()
    (tmp_path / "when.txt").unlink()
    assert bash(text, "both", **task(1)).returncode == 0
    words = (record / "bids_strip").read_text().split()
    assert words[3:6] == ["--participant-label", "01", "03"]
    assert words[words.index("--session-label") + 1 :][:1] == ["2"]


def test_participants_that_are_done_are_left_out(
    phantoms, out: Path, network: Path, capsys
) -> None:
    raw = phantoms()
    common = [str(raw), str(out)]
    model = ["--model", str(network)]
    assert main([*common, "participant", "--participant-label", "02", *model]) == 0
    capsys.readouterr()
    assert main(["slurm-script", *common, "--", *model]) == 0
    text = capsys.readouterr().out
    assert "<<'END_OF_TASKS'\n01\nEND_OF_TASKS" in text
    assert main([*common, "participant", *model]) == 0
    capsys.readouterr()
    assert main(["slurm-script", *common, "--", *model]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2 runs, all done before" in captured.err
    assert main(["slurm-script", *common, "--", *model, "--force"]) == 0
    assert "\n01 02\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--participant-label", "99"], 18), (["--modality", "FLAIR"], 66),
     (["--container", "/no/such.sif"], 66)],
)  # fmt: skip
def test_what_cannot_be_submitted_is_refused(
    raw: Path, out: Path, options: list[str], code: int, capsys
) -> None:
    assert main(["slurm-script", str(raw), str(out), *options]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_output_among_the_raw_data_is_73(raw: Path, capsys) -> None:
    assert main(["slurm-script", str(raw), str(raw / "code")]) == 73
    assert not (raw / "code").exists()


# The array -----------------------------------------------------------------------------------


def test_bash_reads_it_and_slurm_its_head(printed: Printed, out: Path, tmp_path: Path) -> None:
    text = printed("--throttle", "50", "--partition", "long", "--account", "lab", "--time", "1:30",
                   "--mem", "6G", "--cpus-per-task", "4", "--sbatch=--qos=low", "--job-name",
                   "my heads")  # fmt: skip
    file = tmp_path / "job.sh"
    file.write_text(text)
    subprocess.run(["bash", "-n", str(file)], check=True)
    found = directives(text)
    for line in ("--array=1-1%50", "--partition=long", "--account=lab", "--time=1:30", "--mem=6G",
                 "--cpus-per-task=4", "--qos=low", '--job-name="my heads"',
                 f"--output={out}/logs/slurm-%A_%a.log"):  # fmt: skip
        assert line in found
    assert (out / "logs").is_dir()  # Slurm does not make it


def test_a_task_stays_within_what_it_asked_for(printed: Printed, bash: Bash, record: Path) -> None:
    text = printed("--cpus-per-task", "8", "--mem", "16G")
    assert bash(text, "both", **task(1)).returncode == 0
    words = (record / "bids_strip").read_text().split()
    found = settings_of(words)
    assert (found.nprocs, found.omp_nthreads) == (2, 4)
    assert found.mem_gb == pytest.approx(16 * 1.024**3, abs=0.01)
    mine = printed("--cpus-per-task", "8", "--", "--nprocs", "8", "--mem-gb", "9", "-v")
    assert bash(mine, "both", **task(1)).returncode == 0
    found = settings_of((record / "bids_strip").read_text().split())
    assert (found.nprocs, found.omp_nthreads, found.mem_gb, found.verbose) == (8, 1, 9.0, True)


def test_every_option_reaches_the_task(
    raw: Path, out: Path, network: Path, tmp_path: Path, bash: Bash, record: Path
) -> None:
    """What is parsed, written and parsed again is the same."""
    (tmp_path / "filter.json").write_text(json.dumps({"t1w": {"session": ["1", "2"]}}))
    given = settings_of(
        [str(raw), str(out), "participant", "--outputs", "mask", "sdt", "--border", "-1.5",
         "--model", str(network), "--bids-filter-file", str(tmp_path / "filter.json"), "--force",
         "--work-dir", str(tmp_path / "a work"), "--raw-uri", "doi:10.1/x", "--run-label", "01",
         "--device", "cpu", "--nprocs", "3", "--omp-nthreads", "2", "--mem-gb", "2.5", "--modality",
         "T1w", "T2w", "--stop-on-first-crash", "--acquisition-label", "acq-hi", "--verbose"]
    )  # fmt: skip
    assert bash(script(Cluster(), plan_work(Cluster(), given, ["01"])), "both",
                **task(1)).returncode == 0  # fmt: skip
    words = (record / "bids_strip").read_text().splitlines()
    assert settings_of(words) == replace(
        given, participant_label=("01",), acquisition_label=("hi",)
    )


EVIL = "a $(touch pwned) `touch pwned` '; touch pwned; \" & | > pwned * ~ # !x"


def test_names_of_folders_run_nothing(
    tiny_bids, tmp_path: Path, capsys, bash: Bash, record: Path
) -> None:
    """Quotes and substitutions: words of the task, never commands of bash."""
    raw, out = tiny_bids(IMAGES, name=f"raw {EVIL}"), tmp_path / f"out {EVIL}"
    for unfit in ("\n touch pwned", "\\", "\x1b[2J"):  # what Slurm's own lines cannot hold
        assert main(["slurm-script", str(raw), f"{out}{unfit}"]) == 64
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["slurm-script", str(raw), str(out)]) == 0
    said = capsys.readouterr()
    file = tmp_path / "script.sh"
    file.write_text(said.out)
    subprocess.run(["bash", "-n", str(file)], check=True)
    assert bash(said.out, "both", **task(1)).returncode == 0
    words = (record / "bids_strip").read_text()
    assert words.startswith(f"{raw}\n{out}\n")
    assert not [p for p in tmp_path.rglob("*") if p.name == "pwned"]
    assert not Path("pwned").exists()


def test_relative_paths_are_made_whole(raw: Path, network: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(network.parent)
    shown = os.path.relpath(raw)
    assert main(["slurm-script", shown, "out", "--", "--model", network.name]) == 0
    text = capsys.readouterr().out
    assert f"bids={Path(shown).absolute()}" in text
    assert f"out={network.parent / 'out'}" in text
    assert f"--model {network}" in text


def test_a_closed_terminal_puts_nothing_into_the_script(
    raw: Path, out: Path, capsys, monkeypatch
) -> None:
    """Python prints to stdout what is meant for a stderr that there is not."""
    monkeypatch.setattr("sys.stderr", None)
    assert main(["slurm-script", str(raw), str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#!/bin/bash\n")
    assert "bash FILE\n" not in text.splitlines(keepends=True)[-1]


def test_the_exit_code_is_the_tasks(printed: Printed, bash: Bash, out: Path) -> None:
    text = printed()
    assert bash(text, "both", **task(1, EXIT="65")).returncode == 65
    assert not (out / ".work").exists()


def test_a_participant_absent_later(printed: Printed, bash: Bash, raw: Path, record: Path) -> None:
    text = printed("--subjects-per-task", "3")
    (raw / "sub-02").rename(raw / "withdrawn")
    done = bash(text, "both", **task(1))
    assert done.returncode == 18
    assert "02: no longer in" in done.stderr
    assert (record / "bids_strip").read_text().split()[3:6] == ["--participant-label", "01", "03"]
    assert bash(text, "both", **task(1, EXIT="65")).returncode == 65


def test_a_node_that_does_not_see_the_data(printed: Printed, bash: Bash, raw: Path, record) -> None:
    text = printed()
    raw.rename(raw.with_name("elsewhere"))
    done = bash(text, "both", **task(1))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no such folder on" in done.stderr
    assert not (record / "bids_strip").exists()


# Submission ----------------------------------------------------------------------------------


def test_bash_submits_both(printed: Printed, bash: Bash, record: Path, out: Path) -> None:
    text = printed()
    done = bash(text)
    assert done.returncode == 0, done.stderr
    assert "job array 100" in done.stdout
    assert "job 101" in done.stdout
    array, group = (record / f"sbatch{n}.args" for n in (0, 1))
    assert array.read_text().split("\n")[0] == "--parsable"
    assert array.read_text().split("\n")[2] == "both"
    assert (record / "sbatch0.script").read_text() == text
    assert "--dependency=afterany:100\n" in group.read_text()
    follows = (record / "sbatch1.script").read_text()
    assert follows.startswith("#!/bin/bash\n")
    assert not [line for line in directives(follows) if line.startswith("--array")]
    assert bash(follows, SLURM_JOB_ID="9").returncode == 0
    words = (record / "bids_strip").read_text().splitlines()
    assert settings_of(words).level == "group"
    assert settings_of(words).output_dir == out


def test_sbatch_submits_the_group_from_the_first_task(
    printed: Printed, bash: Bash, record: Path
) -> None:
    text = printed("--subjects-per-task", "2")
    for number, restarts in ((2, "0"), (1, "1")):
        assert bash(text, **task(number, SLURM_RESTART_COUNT=restarts)).returncode == 0
    assert not list(record.glob("sbatch*"))
    assert bash(text, **task(1)).returncode == 0
    assert "--dependency=afterany:54\n" in (record / "sbatch0.args").read_text()


def test_a_node_that_may_not_submit_still_works(printed: Printed, bash: Bash, record: Path) -> None:
    done = bash(printed(), **task(1, REFUSE="0"))
    assert done.returncode == 0
    assert "bash FILE group" in done.stderr
    assert (record / "bids_strip").exists()


@pytest.mark.parametrize(("refused", "remedy"), [("0", "--subjects-per-task"), ("1", " group")])
def test_a_refusal_says_what_to_do(printed: Printed, bash: Bash, refused: str, remedy: str) -> None:
    done = bash(printed(), REFUSE=refused)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert remedy in done.stderr


def test_the_group_alone(printed: Printed, bash: Bash, record: Path) -> None:
    assert bash(printed(), "group").returncode == 0
    assert (record / "sbatch0.args").read_text() == "--parsable\n"
    assert not (record / "sbatch1.args").exists()


def test_the_group_is_of_all_participants(printed: Printed, bash: Bash, record: Path) -> None:
    """A table of those just done would take the place of everybody's."""
    text = printed("--participant-label", "01", "--session-label", "1", "--modality", "T1w")
    assert bash(text, "group").returncode == 0
    assert bash((record / "sbatch0.script").read_text(), SLURM_JOB_ID="9").returncode == 0
    words = (record / "bids_strip").read_text()
    assert "label" not in words


# Container -----------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "an image.sif"
    path.touch()
    return path


def test_the_container_sees_what_it_is_given(
    printed: Printed, bash: Bash, record: Path, raw: Path, out: Path, image: Path, tmp_path: Path,
    network: Path,
) -> None:  # fmt: skip
    templates = tmp_path / "templates"
    templates.mkdir()
    (tmp_path / "f.json").write_text('{"t1w": {}}')
    text = printed("--container", str(image), "--template-home", str(templates),
                   "--bids-filter-file", str(tmp_path / "f.json"), "--", "--model",
                   str(network))  # fmt: skip
    done = bash(text, "both", **task(1))
    assert done.returncode == 0, done.stderr
    words = (record / "apptainer").read_text().splitlines()
    assert words[:4] == ["exec", "--cleanenv", "--containall", "--no-home"]
    assert "--nv" not in words
    binds = {b for a, b in itertools.pairwise(words) if a == "--bind"}
    read = (raw, templates, tmp_path / "f.json", network, network.with_suffix(".json"))
    assert binds == {f"{out}:{out}:rw", *(f"{p}:{p}:ro" for p in read)}
    assert words[words.index("--env") + 1] == f"TEMPLATEFLOW_HOME={templates}"
    work = Path(words[words.index("--workdir") + 1])
    assert work.is_relative_to(out)
    assert not work.exists()
    at = words.index(str(image))
    assert words[at + 1 : at + 5] == ["bids_strip", str(raw), str(out), "participant"]


def test_the_group_is_given_the_ratings(
    printed: Printed, bash: Bash, record: Path, image: Path, tmp_path: Path
) -> None:
    ratings = tmp_path / "ratings.tsv"
    ratings.write_text("bids_name\trating\n")
    text = printed("--container", str(image), "--", "--ratings", str(ratings))
    assert bash(text, "group").returncode == 0
    done = bash((record / "sbatch0.script").read_text(), SLURM_JOB_ID="9")
    assert done.returncode == 0, done.stderr
    words = (record / "apptainer").read_text().splitlines()
    assert f"{ratings}:{ratings}:ro" in words
    assert words[words.index("--ratings") + 1] == str(ratings)


@pytest.mark.parametrize("content", [None, "subject\tscore\n"])
def test_ratings_that_the_group_cannot_use_are_refused_before_any_job(
    raw: Path, out: Path, tmp_path: Path, capsys, content: str | None
) -> None:
    """In the words of the group job, which comes after hours."""
    ratings = tmp_path / "ratings.tsv"
    if content is not None:
        ratings.write_text(content)
    assert main(["slurm-script", str(raw), str(out), "--", "--ratings", str(ratings)]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"bids_strip: {ratings}: " in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_templates_that_no_job_may_fetch_have_to_be_there(
    raw: Path, out: Path, image: Path, tmp_path: Path, capsys
) -> None:
    """Those of a container are not seen from here."""
    home = tmp_path / "templates"
    home.mkdir()
    spaces = ["--", "--output-spaces", "MNI152NLin2009cAsym:res-2", "--offline"]
    places = ["slurm-script", str(raw), str(out), "--template-home", str(home)]
    assert main([*places, *spaces]) == 66
    assert str(home) in capsys.readouterr().err
    assert main([*places[:3], "--container", str(image), *spaces]) == 0


def test_the_group_does_without_the_raw_data(
    printed: Printed, bash: Bash, record: Path, raw: Path, image: Path
) -> None:
    text = printed("--container", str(image))
    assert bash(text, "group").returncode == 0
    raw.rename(raw.with_name("gone"))
    done = bash((record / "sbatch0.script").read_text(), SLURM_JOB_ID="9")
    assert done.returncode == 0, done.stderr
    assert f"{raw}:" not in (record / "apptainer").read_text()


def test_a_gpu(printed: Printed, bash: Bash, record: Path, image: Path) -> None:
    text = printed("--container", str(image), "--gpu")
    assert "--gres=gpu:1" in directives(text)
    assert bash(text, "both", **task(1)).returncode == 0
    words = (record / "apptainer").read_text().splitlines()
    assert "--nv" in words
    assert settings_of(words[words.index("bids_strip") + 1 :]).device == "gpu"
    assert bash(text, "group").returncode == 0
    group = (record / "sbatch0.script").read_text()
    assert "gres" not in group
    assert "--nv" not in group


def test_one_process_works_on_a_gpu(printed: Printed, image: Path) -> None:
    text = printed("--container", str(image), "--gpu", "--cpus-per-task", "16")
    assert "--nprocs 1 " in text
    assert "--omp-nthreads 16 " in text
    more = printed("--container", str(image), "--gpu", "--", "--nprocs", "2")
    assert "--nprocs 2" in more


@pytest.mark.parametrize("clash", [
    ("--", "--dry-run"), ("--", "--dask-scheduler", "tcp://here:1"),
    ("--gpu", "--", "--device", "cpu"),
])  # fmt: skip
def test_what_makes_no_sense_in_a_job_is_refused(
    raw: Path, out: Path, clash: tuple[str, ...], capsys
) -> None:
    assert main(["slurm-script", str(raw), str(out), *clash]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "leave" in captured.err


def test_participants_that_are_links_are_seen_in_a_container(
    printed: Printed, bash: Bash, record: Path, image: Path, raw: Path, tmp_path: Path
) -> None:
    """The real folder is bound too, and a work folder is made before it is bound."""
    store, scratch = tmp_path / "store", tmp_path / "scratch" / "new"
    store.mkdir()
    first = sorted(raw.glob("sub-*"))[0]
    first.rename(store / first.name)
    first.symlink_to(store / first.name)
    text = printed("--container", str(image), "--", "--work-dir", str(scratch))
    assert bash(text, "both", **task(1)).returncode == 0
    words = (record / "apptainer").read_text().splitlines()
    bound = {b for a, b in itertools.pairwise(words) if a == "--bind"}
    assert f"{store}:{store}:ro" in bound
    assert f"{scratch}:{scratch}:rw" in bound
    assert scratch.is_dir()


def away(path: Path, to: Path) -> Path:
    """Move a file or folder to another place and leave a link to it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    path.rename(to)
    path.symlink_to(to)
    return to


@pytest.fixture
def bound(printed: Printed, image: Path, raw: Path, out: Path) -> Callable[[], set[str]]:
    """What a participant's job binds beside the dataset, read only."""

    def binds() -> set[str]:
        words = printed("--container", str(image)).split()
        found = {b for a, b in itertools.pairwise(words) if a == "--bind"}
        return {b.partition(":")[0] for b in found if b.endswith(":ro")} - {str(raw)}

    return binds


@pytest.mark.parametrize("of", ["", "/ses-1", "/ses-1/anat", "/ses-1/anat/sub-01_ses-1_T1w.nii.gz"])
def test_what_is_a_link_out_of_the_dataset_is_bound(
    bound, raw: Path, tmp_path: Path, of: str
) -> None:
    moved = away(raw / f"sub-01{of}", tmp_path / "store" / "deep" / "a.nii.gz")
    assert bound() == {str(moved.parent)}


def test_each_stop_of_a_chain_of_links_is_bound(bound, raw: Path, tmp_path: Path) -> None:
    """The container follows links one by one; what lies in a bound folder comes with it."""
    anat = raw / "sub-01" / "ses-1" / "anat"
    moved = away(raw / "sub-01", tmp_path / "first" / "01")
    away(moved / "ses-1" / "anat", tmp_path / "second" / "01" / "anat")
    away(anat / "sub-01_ses-1_T1w.nii.gz", tmp_path / "second" / "x" / "y.nii.gz")
    (anat / "sub-01_ses-1_T1w.json").symlink_to("../../../z/a.json")  # from where anat lies
    (tmp_path / "z").mkdir()
    away(raw / "dataset_description.json", tmp_path / "said" / "d.json")
    found = {Path(path).relative_to(tmp_path).as_posix() for path in bound()}
    assert found == {"first", "second/01", "second/x", "z", "said"}


def test_links_among_the_folders_of_a_target_are_followed(bound, raw: Path, tmp_path: Path) -> None:
    """Where a folder around them is bound too, the container sees links there, not folders."""
    store, anat = tmp_path / "store", raw / "sub-02" / "ses-1" / "anat"
    moved = away(anat / "sub-02_ses-1_T1w.nii.gz", store / "a" / "in" / "x.nii.gz")
    away(raw / "sub-01", store / "01")
    away(store / "a", tmp_path / "mid" / "a")
    away(tmp_path / "mid" / "a", tmp_path / "other" / "a")
    assert moved.exists()
    found = {Path(path).relative_to(tmp_path).as_posix() for path in bound()}
    assert found == {"store", "mid/a/in", "other/a/in"}


def test_many_folders_that_are_links_are_bound(bound, raw: Path, tmp_path: Path) -> None:
    """The folders around them hold the links alone."""
    anat = raw / "sub-01" / "ses-1" / "anat"
    for n in range(MOST_FOLDERS + 1):
        (tmp_path / "other" / f"{n:02}").mkdir(parents=True)
        (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / "store" / f"{n:02}").symlink_to(f"../other/{n:02}")
        (tmp_path / "other" / f"{n:02}" / "x").touch()
        (anat / f"sub-01_ses-1_run-{n}_T1w.nii.gz").symlink_to(tmp_path / f"store/{n:02}/x")
    assert bound() == {str(tmp_path / "store"), str(tmp_path / "other")}


def test_what_may_not_be_looked_at_is_not_bound(
    bound, raw: Path, tmp_path: Path, without_search
) -> None:
    (tmp_path / "store" / "top").mkdir(parents=True)
    (raw / "T1w.json").symlink_to(tmp_path / "store" / "top" / "a.json")
    with without_search(tmp_path / "store"):
        assert bound() == set()


def test_sidecars_of_every_level_are_bound(bound, raw: Path, tmp_path: Path) -> None:
    """Those that a run's are inherited from, of no other contrast nor participant."""
    for at, name in (("top", "T1w.json"), ("own", "sub-01/sub-01_T1w.json"), ("not", "T2w.json"),
                     ("nor", "sub-01/sub-09_T1w.json")):  # fmt: skip
        (tmp_path / at).mkdir()
        (tmp_path / at / "a.json").write_text("{}")
        (raw / name).symlink_to(tmp_path / at / "a.json")
    assert bound() == {str(tmp_path / "top"), str(tmp_path / "own")}


def test_each_folder_is_listed_once_for_all_images(printed, image: Path, monkeypatch) -> None:
    """BIDS_DIR of ten thousand participants holds as many names."""
    listed: list[Path] = []
    monkeypatch.setattr(
        jobs, "json_names", lambda folder: listed.append(folder) or scanner.json_names(folder)
    )
    printed("--container", str(image))
    assert len(listed) == len(set(listed)) > 3


def test_links_within_the_dataset_bind_nothing(bound, raw: Path) -> None:
    """Datalad's; those of a dataset within another lead out by way of .git."""
    anat = raw / "sub-01" / "ses-1" / "anat"
    store = raw / ".git" / "annex" / "objects" / "k"
    (anat / "sub-01_ses-1_T1w.nii.gz").rename(anat / "a")
    store.mkdir(parents=True)
    (anat / "a").rename(store / "k")
    (anat / "sub-01_ses-1_T1w.nii.gz").symlink_to("../../../.git/annex/objects/k/k")
    assert bound() == set()
    modules = raw.parent / "modules" / "raw"
    modules.parent.mkdir()
    (raw / ".git").rename(modules)
    (raw / ".git").symlink_to("../modules/raw")
    assert bound() == {str(modules.parent)}


def test_what_is_not_there_is_not_bound(bound, raw: Path) -> None:
    """The engine would start no job for it."""
    image = raw / IMAGES[0]
    image.unlink()
    image.symlink_to("/nowhere/a.nii.gz")
    (raw / IMAGES[1]).unlink()
    (raw / IMAGES[1]).symlink_to(image.name)
    image.with_name("sub-01_ses-1_T1w.json").symlink_to("sub-01_ses-1_T1w.json")
    assert bound() == set()


def test_many_folders_are_bound_by_those_around_them() -> None:
    few = [Path(f"/store/{n:02}/anat") for n in range(MOST_FOLDERS)]
    assert in_few([*few, Path("/store/00/anat/deeper")]) == tuple(few)
    many = [Path(f"/{'ab'[n % 2]}/{n:03}/x") for n in range(300)]
    assert in_few(many) == (Path("/a"), Path("/b"))
    with pytest.raises(UsageError, match=r"300 folders \(/000/x, .*--participant-label") as caught:
        in_few([Path(f"/{n:03}/x") for n in range(300)])
    assert "\n" not in str(caught.value)


def test_setup_comes_first(printed: Printed, bash: Bash, record: Path) -> None:
    text = printed("--setup", "export EXIT=7", "--setup", "echo 'set up'")
    done = bash(text, "both", **task(1))
    assert (done.returncode, done.stdout) == (7, "set up\n")
    assert bash(text, "group").returncode == 0
    assert bash((record / "sbatch0.script").read_text(), SLURM_JOB_ID="9").returncode == 7


def test_no_engine_is_a_line(printed: Printed, bash: Bash, image: Path) -> None:
    text = printed("--container", str(image), "--setup", "PATH=/usr/bin:/bin")
    done = bash(text, "both", **task(1))
    assert done.returncode == 1
    assert "neither apptainer nor singularity" in done.stderr


# Odd paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd", ["a b", "it's", 'a "b"', "$(touch x)", "a;b&c", "50%", "@OUT@", "é"]
)
def test_odd_paths_are_quoted(
    tiny_bids, tmp_path: Path, printed: Printed, bash, record, odd
) -> None:
    raw, out = tiny_bids(IMAGES, name=odd), tmp_path / "out" / odd
    text = printed(bids=raw, to=out)
    done = bash(text, "both", **task(1))
    assert done.returncode == 0, done.stderr
    words = (record / "bids_strip").read_text().splitlines()
    assert words[:3] == [str(raw), str(out), "participant"]
    assert not (tmp_path / "x").exists()
    assert bash(text, "group").returncode == 0
    assert bash((record / "sbatch0.script").read_text(), SLURM_JOB_ID="9").returncode == 0
    assert (record / "bids_strip").read_text().splitlines()[:2] == [str(raw), str(out)]


@pytest.mark.parametrize(
    ("path", "image"), [("/a\nb", None), ("/a\\b", None), ("/a:b", "x://y"), ("/a,b", "x://y")]
)
def test_paths_that_cannot_stand_in_it_are_refused(path: str, image: str | None) -> None:
    for places in ((path, "/o"), ("/r", path)):
        settings = Settings(Path(places[0]), Path(places[1]), "participant")
        cluster = Cluster(container=image)
        with pytest.raises(UsageError, match="under another name"):
            script(cluster, plan_work(cluster, settings, ["01"]))


def test_a_colon_is_no_matter_without_a_container() -> None:
    settings = Settings(Path("/a:b"), Path("/o"), "participant")
    assert "/a:b" in script(Cluster(), plan_work(Cluster(), settings, ["01"]))
