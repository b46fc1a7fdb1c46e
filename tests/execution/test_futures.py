"""Any engine behind concurrent.futures: threads stand for a cluster, which may do odd things."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bids_strip import __version__
from bids_strip.card import find_card
from bids_strip.errors import ClusterError
from bids_strip.execution import futures
from bids_strip.execution.attempts import Unfinished, attempt_of
from bids_strip.execution.futures import attempt_on_worker, execute
from bids_strip.execution.worker import Network, network_of
from bids_strip.naming import names_of
from bids_strip.output.lock import locked
from bids_strip.output.place import Place
from bids_strip.participant.job import Done, Failed, Job, Outcome
from bids_strip.recipe import Recipe
from bids_strip.record import read_record
from tests.fakes import FakePredictor, attempt, run_of

Jobs = Callable[..., list[Job]]


@pytest.fixture
def jobs_of(phantoms, tmp_path: Path) -> Jobs:
    def make(*names: str) -> list[Job]:
        files = [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in names]
        root = phantoms(files)
        place = Place(tmp_path / "out", tmp_path / "out" / ".work" / "x")
        place.staging.mkdir(parents=True)
        return [
            Job(run_of(root / f, root), Recipe(("mask",)), place, __version__, 1) for f in files
        ]

    return make


@pytest.fixture
def network(network: Path) -> Network:
    return network_of(find_card(str(network)), device="cpu", threads=1)


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Engine(Executor):
    """Calls at once, here, and does to each call what `fate` says."""

    def __init__(self, fate: Callable[[Job, int], BaseException | None]) -> None:
        self.fate = fate
        self.calls: list[tuple[str, int]] = []

    def submit(self, fn, /, job: Job, *, network: Network, number: int, wait_s: float) -> Future:
        self.calls.append((job.run.name, number))
        future: Future = Future()
        error = self.fate(job, number)
        if isinstance(error, CancelledByEngineError):
            future.cancel()
            future.set_running_or_notify_cancel()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(fn(job, network=network, number=number, wait_s=wait_s))
        return future


class CancelledByEngineError(Exception):
    """Not raised: the future ends as cancelled."""


class KilledWorker(Exception):  # noqa: N818 - the name is the point
    """Dask's, by its name."""


def run(jobs: list[Job], network: Network, engine: Executor, **changes) -> dict[str, Outcome]:
    options = {"at_once": None, "look": lambda _: None, "stop_on_failure": False, **changes}
    outcomes = list(execute(jobs, network, engine, **options))
    assert len({o.run for o in outcomes}) == len(outcomes)
    return {o.run.name: o for o in outcomes}


def record_of(job: Job) -> dict:
    return json.loads((job.place.output_dir / names_of(job.run)["qc"]).read_text())


def test_all_are_done(jobs_of: Jobs, network: Network, threads: Executor) -> None:
    jobs = jobs_of("01", "02", "03")
    jobs[1].run.path.write_bytes(b"")
    outcomes = run(jobs, network, threads)
    assert {n: type(o) for n, o in outcomes.items()} == {
        "sub-01_T1w": Done, "sub-02_T1w": Failed, "sub-03_T1w": Done}  # fmt: skip
    assert [record_of(j)["status"] for j in jobs] == ["ok", "failed", "ok"]


def test_a_worker_that_died_once_costs_a_second_try(jobs_of: Jobs, network: Network) -> None:
    """What it was doing is tried again after all others."""
    jobs = jobs_of("01", "02", "03")
    engine = Engine(
        lambda job, number: KilledWorker() if number == 1 and "02" in job.run.name else None
    )
    outcomes = run(jobs, network, engine)
    assert all(isinstance(o, Done) for o in outcomes.values())
    assert engine.calls[-1] == ("sub-02_T1w", 2)
    assert len(engine.calls) == 4


@pytest.mark.parametrize("error", [KilledWorker(), CancelledByEngineError()])
def test_a_run_that_kills_twice_is_a_recorded_failure(
    jobs_of: Jobs, network: Network, error: BaseException
) -> None:
    jobs = jobs_of("01", "02")
    outcomes = run(jobs, network, Engine(lambda job, _: error if "01" in job.run.name else None))
    bad = outcomes["sub-01_T1w"]
    assert isinstance(bad, Failed)
    assert "memory" in bad.reason
    assert str(jobs[0].run.path) in bad.reason
    assert [record_of(j)["status"] for j in jobs] == ["failed", "ok"]


def test_what_the_engine_raises_is_the_runs_failure(jobs_of: Jobs, network: Network) -> None:
    """An unreadable pickle: recorded, the others go on."""
    jobs = jobs_of("01", "02")
    error = TypeError("Job.__init__() got an unexpected keyword")
    outcomes = run(jobs, network, Engine(lambda job, _: error if "01" in job.run.name else None))
    assert isinstance(outcomes["sub-01_T1w"], Failed)
    assert "unexpected keyword" in record_of(jobs[0])["reason"]
    assert isinstance(outcomes["sub-02_T1w"], Done)


def test_a_worker_that_refuses_is_not_the_runs_failure(jobs_of: Jobs, network: Network) -> None:
    """It would refuse one run after the other, and be given the next each time."""
    jobs = jobs_of("01", "02", "03")
    refusal = ClusterError("a worker that joined later has bids_strip 0.0.9")
    engine = Engine(lambda job, _: refusal if "02" in job.run.name else None)
    outcomes = execute(jobs, network, engine, at_once=1, look=lambda _: None, stop_on_failure=False)
    assert isinstance(next(outcomes), Done)
    with pytest.raises(ClusterError, match=r"0\.0\.9"):
        list(outcomes)
    for job in jobs[1:]:
        assert not (job.place.output_dir / names_of(job.run)["qc"]).exists()


def test_a_worker_refuses_before_it_claims(jobs_of: Jobs, network: Network, tmp_path: Path) -> None:
    (job,) = jobs_of("01")
    elsewhere = replace(job.run, path=tmp_path / "not here" / job.run.relative)
    other_place = replace(job.place, staging=tmp_path / "gone")
    for refused, word in (
        (replace(job, version="0.0.9"), "install the same"),
        (replace(job, run=elsewhere), "BIDS_DIR"),
        (replace(job, place=other_place), "OUTPUT_DIR"),
    ):
        with pytest.raises(ClusterError, match=word):
            attempt_on_worker(refused, network=network, number=1)
    assert not list(job.place.staging.iterdir())
    assert isinstance(attempt_on_worker(job, network=network, number=1), Done)


def test_stopping_starts_nothing_more(jobs_of: Jobs, network: Network) -> None:
    jobs = jobs_of("01", "02", "03", "04")
    jobs[1].run.path.write_bytes(b"")
    engine = Engine(lambda *_: None)
    outcomes = run(jobs, network, engine, at_once=1, stop_on_failure=True)
    assert [type(o) for o in outcomes.values()] == [Done, Failed]
    assert len(engine.calls) == 2


def test_not_more_than_asked_for_are_under_way(jobs_of: Jobs, network: Network) -> None:
    """The rest is sent as outcomes come."""
    engine = Engine(lambda *_: None)
    jobs = jobs_of("01", "02", "03")
    outcomes = execute(jobs, network, engine, at_once=2, look=lambda _: None, stop_on_failure=False)
    next(outcomes)
    assert len(engine.calls) == 2
    assert len(list(outcomes)) == 2


def test_giving_up_comes_through(jobs_of: Jobs, network: Network, monkeypatch) -> None:
    """Nothing ends: the eye on the engine decides, and knows how many runs are left."""
    monkeypatch.setattr(futures, "_LOOK_S", 0.01)
    silent = Engine(lambda *_: None)
    silent.submit = lambda *_, **__: Future()  # type: ignore[method-assign]

    def look(unfinished: int) -> None:
        raise ClusterError(f"{unfinished} left")

    with pytest.raises(ClusterError, match="2 left"):
        run(jobs_of("01", "02"), network, silent, look=look)


def test_what_another_call_has_comes_last(
    jobs_of: Jobs, network: Network, threads: Executor
) -> None:
    jobs = jobs_of("01", "02")
    outcomes = execute(jobs, network, threads, at_once=1, look=lambda _: None,
                       stop_on_failure=False)  # fmt: skip
    lock = jobs[0].place.staging.parent / f"{jobs[0].run.name}.lock"
    with locked(lock, wait_s=0) as alone:
        assert alone
        assert next(outcomes).run == jobs[1].run
    (last,) = outcomes
    assert isinstance(last, Done)
    assert last.run == jobs[0].run


# in the worker -------------------------------------------------------------------------------


def test_a_begun_attempt_is_not_begun_again(jobs_of: Jobs, network: Network, monkeypatch) -> None:
    """As when the scheduler hands a dead worker's task on."""
    (job,) = jobs_of("01")
    assert attempt_of(job, 1).claim()
    monkeypatch.setattr(futures, "work", lambda *_: pytest.fail("begun again"))
    assert attempt_on_worker(job, network=network, number=1) == Unfinished(job.run)


def test_a_finished_attempt_is_reported_and_not_redone(
    jobs_of: Jobs, network: Network, monkeypatch
) -> None:
    """As when a worker dies between the record and the answer, or was only cut off."""
    (job,) = jobs_of("01")
    first = attempt_on_worker(job, network=network, number=1)
    assert isinstance(first, Done)
    monkeypatch.setattr(futures, "work", lambda *_: pytest.fail("done twice"))
    for number in (1, 2):
        again = attempt_on_worker(job, network=network, number=number)
        assert isinstance(again, Done)
        assert again.record == read_record(job.place.output_dir / names_of(job.run)["qc"])


def test_a_finished_failure_keeps_its_code(jobs_of: Jobs, network: Network) -> None:
    (job,) = jobs_of("01")
    job.run.path.write_bytes(b"")
    first = attempt_on_worker(job, network=network, number=1)
    again = attempt_on_worker(job, network=network, number=2)
    assert isinstance(first, Failed)
    assert isinstance(again, Failed)
    assert (again.stage, again.exit_code) == (first.stage, 65)
    assert first.reason.endswith(again.reason)  # records hold no folders


def test_an_older_record_is_not_this_attempts(jobs_of: Jobs, network: Network) -> None:
    """A run that is redone has a record: it does not stand for what began and died."""
    (job,) = jobs_of("01")
    assert isinstance(attempt(job, FakePredictor()), Done)
    assert attempt_of(job, 1).claim()
    assert attempt_on_worker(job, network=network, number=1) == Unfinished(job.run)


def test_a_worker_without_the_output_folder_writes_nothing(
    jobs_of: Jobs, network: Network, tmp_path: Path
) -> None:
    """It would write to a disk of its own and call it done."""
    (job,) = jobs_of("01")
    elsewhere = tmp_path / "not" / "mounted"
    job = replace(job, place=Place(elsewhere, elsewhere / ".work" / "x"))
    with pytest.raises(ClusterError, match="OUTPUT_DIR"):
        attempt_on_worker(job, network=network, number=1)
    assert not elsewhere.exists()


def test_a_worker_of_another_version_refuses(jobs_of: Jobs, network: Network) -> None:
    (job,) = jobs_of("01")
    with pytest.raises(ClusterError, match=r"9\.9"):
        attempt_on_worker(replace(job, version="9.9"), network=network, number=1)
    assert not (job.place.output_dir / "sub-01").exists()


def test_what_ends_after_the_call_leaves_no_folder(
    jobs_of: Jobs, network: Network, monkeypatch
) -> None:
    """The call is interrupted while a worker is busy: it finishes its run and cleans up."""
    (job,) = jobs_of("01")
    real = futures.work

    def outlive(job: Job, network: Network, wait_s: float) -> Outcome:
        for path in job.place.staging.iterdir():
            path.unlink()
        job.place.staging.rmdir()
        return real(job, network, wait_s)

    monkeypatch.setattr(futures, "work", outlive)
    assert isinstance(attempt_on_worker(job, network=network, number=1), Done)
    assert record_of(job)["status"] == "ok"
    assert not (job.place.output_dir / ".work").exists()
