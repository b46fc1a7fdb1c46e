"""A Dask scheduler and workers, each a process of its own; some are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bids_strip import cli
from bids_strip.errors import ClusterError
from bids_strip.execution import cluster
from bids_strip.execution.cluster import threads_each

pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
DEADLINE_S = 240.0
"""For a machine that has much else to do; nothing waits that long on an idle one."""
QUIET = {"DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "1h"}


def until(ready: Callable[[], bool], what: str) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@dataclass(frozen=True)
class Dask:
    """Processes of a cluster, and the notes of its workers (see `worker_preload`)."""

    address: str
    workers: tuple[subprocess.Popen, ...]
    notes: Path

    def noted(self, what: str, run: str) -> list[int]:
        """Processes that began or ended a run."""
        return [int(p.name.split()[-1]) for p in self.notes.glob(f"{what} {run} *")]


@contextmanager
def started(folder: Path, *, workers: int) -> Iterator[Dask]:
    """A scheduler and its workers, without nannies: one that dies stays dead."""
    notes = folder / "notes"
    notes.mkdir(parents=True)
    environment = {
        **os.environ, **QUIET, "PYTHONPATH": str(ROOT), "BIDS_STRIP_TEST_NOTES": str(notes)
    }  # fmt: skip

    def process(module: str, *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *options],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL,
            stderr=(folder / "stderr").open("a"),
        )  # fmt: skip

    with ExitStack() as stack:

        def keep(one: subprocess.Popen) -> subprocess.Popen:
            stack.callback(one.wait, 20)
            stack.callback(one.kill)
            return one

        file = folder / "scheduler.json"
        keep(process("dask_scheduler", "--host", "127.0.0.1", "--port", "0",
                     "--scheduler-file", str(file)))  # fmt: skip
        preload = str(Path(__file__).with_name("worker_preload.py"))
        options = ["--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--preload",
                   preload, "--local-directory", str(folder), "--host", "127.0.0.1"]  # fmt: skip
        until(file.exists, "the scheduler")
        fleet = tuple(keep(process("dask_worker", *options)) for _ in range(workers))
        address = json.loads(file.read_text())["address"]
        yield Dask(address, fleet, notes)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    """A cluster of three workers that a test may kill."""
    with started(tmp_path / "dask", workers=3) as running:
        yield running


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A cluster of two workers that nobody kills."""
    with started(tmp_path_factory.mktemp("dask"), workers=2) as running:
        connected(running.address, workers=2)
        yield running


def connected(address: str, workers: int) -> None:
    """Wait for the workers."""
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=DEADLINE_S)


@pytest.fixture
def command(phantoms, network: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The arguments of a call for runs of these names."""

    def make(address: str, *names: str, options: tuple[str, ...] = ()) -> list[str]:
        raw = phantoms([f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in names])
        return [str(raw), str(tmp_path / "out"), "participant", "--model", str(network),
                "--device", "cpu", "--omp-nthreads", "1", "--dask-scheduler", address,
                *options]  # fmt: skip

    return make


def statuses(out: Path) -> dict[str, str]:
    """By run, what its record says."""
    records = [json.loads(p.read_text()) for p in out.glob("sub-*/**/*_qc.json")]
    assert len(records) == len({r["bids_name"] for r in records})
    return {r["bids_name"].removesuffix("_T1w"): r["status"] for r in records}


def log_of(out: Path) -> str:
    (log,) = (out / "logs").glob("*.log")
    return log.read_text()


# a worker dies -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_killed_midway_costs_nothing(dask: Dask, command, tmp_path: Path, capsys) -> None:
    """Every run done, none twice, by the records, the log and the workers' own notes."""
    names = ("01", "02", "hold03", "04", "05", "06")
    connected(dask.address, 3)
    codes: list[int] = []
    arguments = command(dask.address, *names)
    call = threading.Thread(target=lambda: codes.append(cli.main(arguments)), daemon=True)
    call.start()
    until(lambda: bool(dask.noted("begun", "sub-hold03_T1w")), "the held run")
    (pid,) = dask.noted("begun", "sub-hold03_T1w")
    assert pid in {one.pid for one in dask.workers}
    os.kill(pid, signal.SIGKILL)
    (dask.notes / "go").touch()
    call.join(DEADLINE_S)
    assert codes == [0]
    assert statuses(tmp_path / "out") == {f"sub-{n}": "ok" for n in names}
    begun = {n: len(dask.noted("begun", f"sub-{n}_T1w")) for n in names}
    assert begun == {**dict.fromkeys(names, 1), "hold03": 2}
    assert {n: len(dask.noted("ended", f"sub-{n}_T1w")) for n in names} == dict.fromkeys(names, 1)
    log = log_of(tmp_path / "out")
    assert [log.count(f"sub-{n}_T1w: ") for n in names] == [1] * len(names)
    assert "6 done" in log.splitlines()[-1]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_kills_its_worker_is_one_failure(dask: Dask, command, tmp_path: Path) -> None:
    """It costs two of three workers; the third does the rest."""
    names = ("01", "02", "deadly", "04", "05")
    connected(dask.address, 3)
    assert cli.main(command(dask.address, *names)) == 1
    expected = {f"sub-{n}": "failed" if n == "deadly" else "ok" for n in names}
    assert statuses(tmp_path / "out") == expected
    assert len(dask.noted("begun", "sub-deadly_T1w")) == 2
    until(lambda: sum(one.poll() is not None for one in dask.workers) == 2, "two dead workers")
    (line,) = [x for x in log_of(tmp_path / "out").splitlines() if "failed at" in x]
    assert "memory" in line
    assert "sub-deadly_T1w.nii.gz" in line


@pytest.mark.slow
def test_when_all_workers_are_gone_the_call_ends(
    dask: Dask, command, monkeypatch, capsys, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "_WORKERS_S", 3.0)
    connected(dask.address, 3)
    for one in dask.workers[1:]:
        one.kill()
        one.wait(20)
    assert cli.main(command(dask.address, "01", "deadly", "03")) == 1
    assert "no worker" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out" / ".work").exists()


# the cluster works ---------------------------------------------------------------------------


def test_the_files_are_those_of_this_machine(lasting: Dask, command, tmp_path: Path) -> None:
    arguments = command(lasting.address, "01", "02")
    assert cli.main(arguments) == 0
    here = [str(tmp_path / "here") if a == str(tmp_path / "out") else a for a in arguments]
    at = here.index("--dask-scheduler")
    assert cli.main([*here[:at], *here[at + 2 :]]) == 0
    found = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.nii.gz"))
    assert len(found) == 2 * len(("mask", "sdt", "brain", "preproc", "dseg"))
    for name in found:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_stopping_on_the_first_failure(lasting: Dask, command, tmp_path: Path, capsys) -> None:
    names = tuple(f"{n:02d}" for n in range(8))
    arguments = command(lasting.address, *names, options=("--stop-on-first-crash",))
    (tmp_path / "raw/sub-00/anat/sub-00_T1w.nii.gz").write_bytes(b"")
    assert cli.main(arguments) == 1
    found = statuses(tmp_path / "out")
    assert found["sub-00"] == "failed"
    assert len(found) < len(names)
    assert "not started" in capsys.readouterr().err.splitlines()[-1]


def test_sigterm_withdraws_what_has_not_begun(lasting: Dask, command, tmp_path: Path) -> None:
    """What workers are in the middle of is finished there; then the call's folder is gone."""
    held = ("hold1", "hold2")
    arguments = command(lasting.address, *held, "x3", "x4", "x5")
    call = subprocess.Popen([sys.executable, "-m", "bids_strip", *arguments], cwd=ROOT,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip
    until(lambda: all(lasting.noted("begun", f"sub-{n}_T1w") for n in held), "both held runs")
    call.send_signal(signal.SIGTERM)
    _, error = call.communicate(timeout=DEADLINE_S)
    assert call.returncode == 143
    assert "Traceback" not in error
    (lasting.notes / "go").touch()
    out = tmp_path / "out"
    until(lambda: len(statuses(out)) == 2 and not (out / ".work").exists(), "the end of both")
    assert statuses(out) == {f"sub-{n}": "ok" for n in held}
    assert not [n for n in ("x3", "x4", "x5") if lasting.noted("begun", f"sub-{n}_T1w")]


# refusals, one line each ---------------------------------------------------------------------


def refused(arguments: list[str], capsys) -> str:
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    lines = [x for x in error.splitlines() if x.startswith("bids_strip: ")]
    assert len(lines) == 1
    assert "Traceback" not in error
    return lines[0]


def test_another_version_is_refused(lasting: Dask, command, monkeypatch, capsys) -> None:
    arguments = command(lasting.address, "01")
    monkeypatch.setattr(cluster, "__version__", "9.9")
    line = refused(arguments, capsys)
    assert "9.9" in line
    assert "same everywhere" in line


def test_workers_that_do_not_see_the_data_are_refused(
    lasting: Dask, command, monkeypatch, capsys
) -> None:
    """The worker looks for a file that only this process believes in."""
    arguments = command(lasting.address, "01")
    real = cluster.connected

    def misled(settings, card, place, *, image, opens):
        elsewhere = image.with_name("elsewhere.nii.gz")
        return real(settings, card, place, image=elsewhere, opens=opens)

    monkeypatch.setattr(cluster, "connected", misled)
    line = refused(arguments, capsys)
    assert "BIDS_DIR" in line
    assert "elsewhere.nii.gz" in line
    assert "share" in line


def test_a_network_that_workers_cannot_open(
    lasting: Dask, command, network: Path, monkeypatch, capsys
) -> None:
    """As when the file of --model lies on this machine alone."""
    arguments = command(lasting.address, "01")
    real = cluster.network_of

    def moved(card, **options):
        found = real(card, **options)
        return type(found)("/only/here.onnx", found.sha256, found.device, found.threads)

    monkeypatch.setattr(cluster, "network_of", moved)
    assert "here.onnx" in refused(arguments, capsys)


@pytest.mark.slow
def test_no_scheduler_is_said_soon(command, capsys) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        arguments = command(address, "01")
        begun = time.monotonic()
        line = refused(arguments, capsys)
    assert address in line
    assert "no scheduler" in line
    assert time.monotonic() - begun < 2 * cluster._CONNECT_S


@pytest.mark.parametrize("address", ["nonsense://there", "127.0.0.1:notaport"])
def test_an_address_that_is_none(command, capsys, address: str) -> None:
    assert address in refused(command(address, "01"), capsys)


def test_a_scheduler_without_workers(tmp_path: Path, command, monkeypatch, capsys) -> None:
    monkeypatch.setattr(cluster, "_WORKERS_S", 0.5)
    with started(tmp_path / "empty", workers=0) as empty:
        line = refused(command(empty.address, "01"), capsys)
    assert "no worker came" in line
    assert empty.address in line


def test_without_the_package(command, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "bids_strip[dask]" in refused(command("tcp://127.0.0.1:1", "01"), capsys)


# threads -------------------------------------------------------------------------------------


def answer(granted: str, cpus: int) -> dict[str, object]:
    return {"granted": granted, "cpus": cpus}


@pytest.mark.parametrize(
    ("said", "slots", "expected"),
    [
        ({"a": answer("n1 0-15", 16)}, {"a": 4}, 4),
        ({"a": answer("n1 0-3", 4), "b": answer("n1 0-3", 4)}, {"a": 1, "b": 1}, 2),
        ({"a": answer("n1 0-3", 4), "b": answer("n1 4-7", 4)}, {"a": 1, "b": 1}, 4),
        ({"a": answer("n1 0-63", 64)}, {"a": 1}, 8),
        ({"a": answer("n1 0", 1)}, {"a": 4}, 1),
        ({"a": answer("n1 0-7", 8), "b": answer("n2 0-1", 2)}, {"a": 1, "b": 1}, 2),
    ],
    ids=["one worker", "two share", "two bound apart", "many", "few", "the smallest counts"],
)
def test_threads_share_what_is_granted(said, slots, expected: int) -> None:
    assert threads_each(said, slots) == expected


@dataclass(frozen=True)
class Answering:
    """A client whose workers answer as they are told."""

    answer: object

    def run(self, *_question: object, **_options: object) -> dict[str, object]:
        return {"tcp://w:1": self.answer}


@pytest.mark.parametrize("answer", [
    ModuleNotFoundError("No module named 'bids_strip'"),
    Exception("ModuleNotFoundError(\"No module named 'bids_strip'\")"),  # as Dask hands it on
])  # fmt: skip
def test_a_worker_without_the_package_is_told_what_to_do(answer: Exception) -> None:
    with pytest.raises(ClusterError, match=r"not installed there.*install"):
        cluster._ask(Answering(answer), "tcp://s:1", len)
    with pytest.raises(ClusterError, match="disk"):
        cluster._ask(Answering(OSError("disk")), "tcp://s:1", len)
