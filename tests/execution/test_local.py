"""Runs on this machine: in this process, in a pool, and when a worker dies."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest

from bids_strip.card import find_card
from bids_strip.errors import ModelError
from bids_strip.execution import local, worker
from bids_strip.execution.local import execute
from bids_strip.execution.worker import Network, network_of
from bids_strip.naming import names_of
from bids_strip.output.lock import locked
from bids_strip.output.place import Place
from bids_strip.participant.job import Done, Failed, Job
from bids_strip.participant.predict import CPU, CUDA, OnnxPredictor
from bids_strip.recipe import Recipe
from bids_strip.settings import Settings
from tests.fakes import run_of, work_or_die

KINDS = ("mask",)


@pytest.fixture
def jobs_of(phantoms, tmp_path: Path):
    def make(*names: str) -> list[Job]:
        files = [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in names]
        root = phantoms(files)
        out = tmp_path / "out"
        place = Place(out, out / ".work" / "x")
        return [Job(run_of(root / f, root), Recipe(KINDS), place, "1", 1) for f in files]

    return make


@pytest.fixture
def opened(network: Path) -> Network:
    return network_of(find_card(str(network)), device="cpu", threads=1)


def status_of(job: Job) -> str:
    return json.loads((job.place.output_dir / names_of(job.run)["qc"]).read_text())["status"]


def test_one_process_works_in_order(jobs_of, opened: Network) -> None:
    jobs = jobs_of("01", "02", "03")
    outcomes = list(execute(jobs, opened, nprocs=1, stop_on_failure=False))
    assert [o.run for o in outcomes] == [j.run for j in jobs]
    assert all(isinstance(o, Done) for o in outcomes)


def test_nothing_is_done_before_it_is_asked_for(jobs_of, opened: Network) -> None:
    jobs = jobs_of("01", "02")
    outcomes = execute(jobs, opened, nprocs=1, stop_on_failure=False)
    next(outcomes)
    assert status_of(jobs[0]) == "ok"
    assert not (jobs[0].place.output_dir / "sub-02").exists()


@pytest.mark.parametrize("stop", [True, False])
def test_stopping_on_the_first_failure(jobs_of, opened: Network, stop: bool) -> None:
    jobs = jobs_of("01", "02", "03")
    jobs[1].run.path.write_bytes(b"")
    outcomes = list(execute(jobs, opened, nprocs=1, stop_on_failure=stop))
    expected = [Done, Failed] if stop else [Done, Failed, Done]
    assert [type(o) for o in outcomes] == expected


def test_two_processes_give_the_same_files(jobs_of, opened: Network, tmp_path: Path) -> None:
    jobs = jobs_of("01", "02", "03")
    jobs[1].run.path.write_bytes(b"")
    outcomes = {o.run.name: o for o in execute(jobs, opened, nprocs=2, stop_on_failure=False)}
    assert len(outcomes) == 3
    assert isinstance(outcomes["sub-02_T1w"], Failed)
    assert "Traceback" in outcomes["sub-02_T1w"].details
    assert [status_of(j) for j in jobs] == ["ok", "failed", "ok"]
    masks = [
        (jobs[n].place.output_dir / names_of(jobs[n].run)["mask"]).read_bytes() for n in (0, 2)
    ]
    assert masks[0] == masks[1]


def test_a_worker_that_dies_is_a_recorded_failure(
    jobs_of, opened: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on, each in a process of its own."""
    monkeypatch.setattr(local, "work", work_or_die)
    jobs = jobs_of("deadly", "02")
    outcomes = {o.run.name: o for o in execute(jobs, opened, nprocs=2, stop_on_failure=False)}
    kinds = {name: type(o) for name, o in outcomes.items()}
    assert kinds == {"sub-deadly_T1w": Failed, "sub-02_T1w": Done}
    bad = outcomes["sub-deadly_T1w"]
    assert isinstance(bad, Failed)
    assert "memory" in bad.reason
    assert str(jobs[0].run.path) in bad.reason
    assert bad.exit_code == 1
    assert [status_of(j) for j in jobs] == ["failed", "ok"]


class BreaksBehindTheFirst:
    """A pool that has done its first run, and is broken, before anyone looks."""

    def __init__(self, *_: object, **__: object) -> None:
        self.submitted = 0

    def submit(self, _: object, job: Job, *__: object) -> Future[Done | Failed]:
        future: Future[Done | Failed] = Future()
        if self.submitted:
            future.set_exception(BrokenProcessPool("a worker died"))
        else:
            future.set_result(Failed(job.run, "load", "no image", 65))
        self.submitted += 1
        return future

    def shutdown(self, **_: object) -> None:
        pass


def test_what_was_done_when_a_worker_dies_is_not_done_again(
    jobs_of, opened: Network, monkeypatch
) -> None:
    """Several times: which of two runs that ended at once is looked at first is chance."""
    monkeypatch.setattr(local, "ProcessPoolExecutor", BreaksBehindTheFirst)
    monkeypatch.setattr(local, "_alone", lambda job, _: Failed(job.run, "run", "it died", 1))
    jobs = jobs_of("01", "02")
    for _ in range(20):
        outcomes = execute(jobs, opened, nprocs=2, stop_on_failure=False)
        assert [one.reason for one in outcomes] == ["no image", "it died"]


def test_nothing_is_started_after_a_failure_though_a_worker_dies(
    jobs_of, opened: Network, monkeypatch
) -> None:
    """What was under way is told; the third run is left alone."""
    monkeypatch.setattr(local, "ProcessPoolExecutor", BreaksBehindTheFirst)
    monkeypatch.setattr(local, "_alone", lambda job, _: Failed(job.run, "run", "it died", 1))
    outcomes = execute(jobs_of("01", "02", "03"), opened, nprocs=2, stop_on_failure=True)
    assert [one.reason for one in outcomes] == ["no image", "it died"]


class BreaksWhenAsked(BreaksBehindTheFirst):
    """A pool that is found broken when the third run is given to it, the second done meanwhile."""

    def submit(self, _: object, job: Job, *__: object) -> Future[Done | Failed]:
        self.submitted += 1
        if self.submitted == 3:
            self.second.set_result(Failed(self.second_job.run, "load", "second", 65))
            raise BrokenProcessPool("a worker died")
        future: Future[Done | Failed] = Future()
        if self.submitted == 1:
            future.set_result(Failed(job.run, "load", "first", 65))
        else:
            self.second, self.second_job = future, job
        return future


def test_what_ended_while_a_dead_pool_was_not_looked_at_is_not_done_again(
    jobs_of, opened: Network, monkeypatch
) -> None:
    pools = iter([BreaksWhenAsked, BreaksBehindTheFirst])
    monkeypatch.setattr(local, "ProcessPoolExecutor", lambda *_, **__: next(pools)())
    jobs = jobs_of("01", "02", "03")
    outcomes = list(execute(jobs, opened, nprocs=2, stop_on_failure=False))
    assert [one.reason for one in outcomes] == ["first", "second", "no image"]


def test_a_network_is_opened_once_in_a_process(opened: Network) -> None:
    worker._opened.cache_clear()
    assert worker.opened(opened) is worker.opened(opened)


@pytest.mark.parametrize("nprocs", [1, 2])
def test_a_worker_that_cannot_open_the_network(jobs_of, opened: Network, nprocs: int) -> None:
    """Recorded for each run; the call goes on."""
    worker._opened.cache_clear()
    gone = replace(opened, model="/nowhere/net.onnx")
    jobs = jobs_of("01", "02")
    outcomes = list(execute(jobs, gone, nprocs=nprocs, stop_on_failure=False))
    assert [type(o) for o in outcomes] == [Failed, Failed]
    assert [status_of(j) for j in jobs] == ["failed", "failed"]
    assert all("net.onnx" in o.reason for o in outcomes if isinstance(o, Failed))


def test_another_network_under_the_same_name(opened: Network) -> None:
    """As on a machine with another version installed."""
    with pytest.raises(ModelError, match="another network"):
        worker.opened(replace(opened, sha256="0" * 64))


def test_an_embedded_network_is_found_by_its_name() -> None:
    """The folder it is installed in differs between machines."""
    network = network_of(find_card(None), device="cpu", threads=1)
    assert network.model == find_card(None).name
    assert len(pickle.dumps(network)) < 1000


def test_one_process_on_a_gpu_unless_asked(network: Path, monkeypatch, tmp_path: Path) -> None:
    card = find_card(str(network))
    settings = Settings(tmp_path, tmp_path / "out", "participant", omp_nthreads=1, mem_gb=64)
    monkeypatch.setattr("bids_strip.machine.resources.available_cpus", lambda: 16)
    monkeypatch.setattr(local, "opened", lambda _: OnnxPredictor(card, CPU, None))
    assert local.this_machine(settings, card, runs=9).nprocs == 9
    monkeypatch.setattr(local, "opened", lambda _: OnnxPredictor(card, CUDA, None))
    assert local.this_machine(settings, card, runs=9).nprocs == 1
    assert local.this_machine(replace(settings, nprocs=3), card, runs=9).nprocs == 3


def test_stopping_lets_what_is_under_way_finish(jobs_of, opened: Network) -> None:
    jobs = jobs_of(*(f"{n:02d}" for n in range(12)))
    jobs[0].run.path.write_bytes(b"")
    outcomes = list(execute(jobs, opened, nprocs=2, stop_on_failure=True))
    assert sum(isinstance(o, Failed) for o in outcomes) == 1
    assert len(outcomes) < len(jobs)
    for outcome in outcomes:
        job = next(j for j in jobs if j.run == outcome.run)
        assert status_of(job) == ("failed" if isinstance(outcome, Failed) else "ok")
    started = {o.run for o in outcomes}
    for job in jobs:
        assert job.run in started or not (job.place.output_dir / names_of(job.run)["mask"]).exists()


# beside another call -------------------------------------------------------------------------


def lock_of(job: Job) -> Path:
    return job.place.staging.parent / f"{job.run.name}.lock"


@pytest.mark.parametrize("nprocs", [1, 2])
def test_what_another_call_has_comes_last(jobs_of, opened: Network, nprocs: int) -> None:
    jobs = jobs_of("01", "02", "03")
    outcomes = execute(jobs, opened, nprocs=nprocs, stop_on_failure=False)
    with locked(lock_of(jobs[0]), wait_s=0) as alone:
        assert alone
        first = [next(outcomes), next(outcomes)]
        assert {o.run for o in first} == {jobs[1].run, jobs[2].run}
        assert not (jobs[0].place.output_dir / names_of(jobs[0].run)["qc"]).exists()
    (last,) = outcomes
    assert isinstance(last, Done)
    assert last.run == jobs[0].run
    assert not last.elsewhere


def test_a_run_that_another_call_keeps_too_long(
    jobs_of, opened: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails here, in a line; its files are the other's."""
    monkeypatch.setattr("bids_strip.execution.turns.PATIENCE_S", 0.2)
    jobs = jobs_of("01", "02")
    with locked(lock_of(jobs[0]), wait_s=0):
        outcomes = list(execute(jobs, opened, nprocs=1, stop_on_failure=False))
    assert [type(o) for o in outcomes] == [Done, Failed]
    assert "another call" in outcomes[1].reason
    assert not (jobs[0].place.output_dir / names_of(jobs[0].run)["qc"]).exists()
