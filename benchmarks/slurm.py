"""The printed job array on a real Slurm: a private cluster of this machine, through to the group.

``python -m benchmarks.slurm BIDS_DIR OUTPUT_DIR [options of slurm-script] [-- of bids_strip]``

Starts munged (as its user), slurmctld and slurmd (as root) on 127.0.0.1 with all their state in a
temporary folder, submits what ``bids_strip slurm-script`` prints, waits for the group job, prints
the state of every job and ends all daemons again. Needs root and Debian's slurm-wlm and munge.
Exit 1 if a job did not end well.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import cores
from benchmarks.tables import text_table

ROOT = Path(__file__).parents[1]
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
_READY_S = 60.0
_RUNNING = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"}


@dataclass(frozen=True, slots=True)
class Job:
    """One job, or one task of an array, as Slurm tells of it.

    Attributes
    ----------
    array
        ``<array>_<task>`` for a task, else the job's number.
    name, state, exit_code
        As Slurm writes them.
    elapsed_s
        Run time, seconds.
    """

    array: str
    name: str
    state: str
    exit_code: str
    elapsed_s: int


@dataclass(frozen=True, slots=True)
class PrivateSlurm:
    """A running cluster.

    Attributes
    ----------
    environment
        In which its commands find it.
    """

    environment: Mapping[str, str]

    def run(self, command: Sequence[str], *, cwd: Path | None = None) -> str:
        """Output of a command, whose errors are shown.

        Raises
        ------
        subprocess.CalledProcessError
            If it fails.
        """
        return subprocess.run(
            list(command), check=True, stdout=subprocess.PIPE, text=True, cwd=cwd,
            env={**os.environ, **self.environment},
        ).stdout  # fmt: skip

    def jobs(self) -> list[Job]:
        """Every job since the start; Slurm keeps ended ones for a while."""
        return [_job(line) for line in self.run(["scontrol", "-o", "show", "job"]).splitlines()
                if line.startswith("JobId=")]  # fmt: skip

    def wait(self, *, limit_s: float) -> list[Job]:
        """Wait for all jobs to end.

        Raises
        ------
        TimeoutError
            If they have not within the limit.
        """
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            jobs = self.jobs()
            if jobs and not any(job.state in _RUNNING for job in jobs):
                return jobs
            time.sleep(1.0)
        raise TimeoutError(f"jobs have not ended in {limit_s:g} s: {self.jobs()}")


def missing() -> str | None:
    """What keeps this machine from starting a Slurm, None if nothing does."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)"
    return "needs root" if os.geteuid() else None


@contextlib.contextmanager
def private_slurm() -> Iterator[PrivateSlurm]:
    """Start a cluster of one node; it ends, with its state, when the block is left.

    Raises
    ------
    RuntimeError
        If it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        munge = _munge_folder(folder)
        configuration = folder / "slurm.conf"
        configuration.write_text(_configuration(folder, munge / "socket"), encoding="utf-8")
        slurm = PrivateSlurm({"SLURM_CONF": str(configuration), "PATH": _path()})
        for name, command in _daemons(munge, configuration).items():
            with (folder / f"{name}.out").open("wb") as output:
                daemons.append(
                    subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                     env={**os.environ, **slurm.environment})
                )  # fmt: skip
            if name == "munged":
                _until((munge / "socket").exists, folder)
        _until(lambda: _is_idle(slurm), folder)
        yield slurm
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)


def submit(slurm: PrivateSlurm, script: Path) -> str:
    """Run the script as a user does; what it says."""
    return slurm.run(["bash", str(script)], cwd=script.parent)


def printed(slurm: PrivateSlurm, arguments: Sequence[str], script: Path) -> None:
    """Save what ``bids_strip slurm-script`` prints."""
    script.write_text(slurm.run(["bids_strip", "slurm-script", *arguments]), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a dataset through a private cluster; return 1 if a job did not end well."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if len(arguments) < 2 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 64
    reason = missing()
    if reason:
        print(f"benchmarks.slurm: {reason}", file=sys.stderr)
        return 1
    with private_slurm() as slurm, tempfile.TemporaryDirectory() as folder:
        slurm = PrivateSlurm({**slurm.environment, "PATH": f"{_command(Path(folder))}:{_path()}"})
        script = Path(folder) / "job.sh"
        started = time.perf_counter()
        printed(slurm, arguments, script)
        print(submit(slurm, script), end="")
        jobs = slurm.wait(limit_s=3600)
        elapsed_s = time.perf_counter() - started
    header = ["job", "name", "state", "exit", "seconds"]
    print(text_table(header, [[j.array, j.name, j.state, j.exit_code, j.elapsed_s] for j in jobs]))
    print(f"{elapsed_s:.0f} s from printing the script to the end of the group job")
    return 0 if all(job.state == "COMPLETED" for job in jobs) else 1


def _job(line: str) -> Job:
    """Read a line of ``scontrol -o show job``."""
    found = dict(re.findall(r"(\w+)=(\S*)", line))
    array = f"{found['ArrayJobId']}_{found['ArrayTaskId']}" if "ArrayJobId" in found else ""
    hours, minutes, seconds = (int(part) for part in found["RunTime"].split("-")[-1].split(":"))
    return Job(
        array or found["JobId"], found["JobName"], found["JobState"], found["ExitCode"],
        hours * 3600 + minutes * 60 + seconds,
    )  # fmt: skip


def _command(folder: Path) -> Path:
    """Put this checkout's ``bids_strip`` into a folder for PATH."""
    script = folder / "bin" / "bids_strip"
    script.parent.mkdir()
    root, python = shlex.quote(str(ROOT)), shlex.quote(sys.executable)
    script.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {python} -m bids_strip "$@"\n')
    script.chmod(0o755)
    return script.parent


def _path() -> str:
    """PATH with the folders of daemons."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def _munge_folder(folder: Path) -> Path:
    """Make munged's folder: its own, with a key that nobody else reads."""
    munge = folder / "munge"
    munge.mkdir(mode=0o755)
    key = munge / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for path in (munge, key):
        shutil.chown(path, "munge", "munge")
    return munge


def _daemons(munge: Path, configuration: Path) -> dict[str, list[str]]:
    """Commands of the daemons, in the order of their start; none leaves this process's children."""
    places = [f"--{name}={munge / name}" for name in ("socket", "pid-file", "log-file",
                                                      "seed-file")]  # fmt: skip
    return {
        "munged": ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged",
                   "--foreground", f"--key-file={munge / 'key'}", *places],
        "slurmctld": ["slurmctld", "-D", "-c", "-f", str(configuration)],
        "slurmd": ["slurmd", "-D", "-c", "-N", "here", "-f", str(configuration)],
    }  # fmt: skip


def _configuration(folder: Path, munge_socket: Path) -> str:
    """A cluster of one node, this machine; no control group, no accounting."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    settings = {
        "ClusterName": "private",
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmctldPort": _free_port(),
        "SlurmdPort": _free_port(),
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={munge_socket}",
        "CredType": "cred/munge",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/none",
        "ReturnToService": "2",
        "MinJobAge": "86400",
        "SchedulerParameters": "sched_min_interval=0,sched_interval=2,batch_sched_delay=0",
    }
    node = f"NodeName=here NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1"
    return "\n".join(
        [
            *(f"{name}={value}" for name, value in settings.items()),
            f"{node} CPUs={cores()} RealMemory={memory} State=UNKNOWN",
            "PartitionName=all Nodes=here Default=YES MaxTime=INFINITE State=UP",
            "",
        ]
    )


def _free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_idle(slurm: PrivateSlurm) -> bool:
    """Tell whether the node takes jobs."""
    found = subprocess.run(
        ["sinfo", "-h", "-o", "%T"], check=False, capture_output=True, text=True,
        env={**os.environ, **slurm.environment},
    )  # fmt: skip
    return found.stdout.strip() == "idle"


def _until(ready: Callable[[], bool], folder: Path) -> None:
    """Wait for a daemon.

    Raises
    ------
    RuntimeError
        If it is not there in time; the message holds the ends of the daemons' outputs.
    """
    until = time.monotonic() + _READY_S
    while not ready():
        if time.monotonic() > until:
            ends = [f"{p.name}: {p.read_text(errors='replace')[-1500:]}"
                    for p in sorted(folder.glob("*.out"))]  # fmt: skip
            raise RuntimeError("Slurm did not start\n" + "\n".join(ends))
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
