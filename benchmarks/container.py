"""Build the container image and show that it works shut off, with the masks made outside it.

``python -m benchmarks.container [BIDS_DIR] [--target gpu] [--base-from-debootstrap] [--json FILE]``

The unchanged Dockerfile is built with the first of docker, podman and buildah whose ``info``
succeeds. Both levels then run with a read-only root, as a user that the image does not know, with
HOME unset, no network, 64 MB of /tmp and nothing to write but /out; a probe inside checks that all
this is so. Without BIDS_DIR the dataset is the embedded example.

Where a build must reach the package servers as this machine does (a mirror, a proxy's certificate),
``--host-packages`` mounts the machine's pip and apt configuration, for the build alone: the image
keeps empty mount points of it and nothing else. podman and buildah can do that.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.engines import BASE, USER, Engine, Finished, find_engine, make_base
from benchmarks.host_packages import build_mounts
from benchmarks.images import read_mask
from benchmarks.outputs import BenchmarkError
from bids_strip import __version__, geometry

ROOT = Path(__file__).parents[1]
LARGEST_CPU_MB = 750.0
LEAST_DICE = 0.9999
_MASKS = "sub-*/**/*_desc-brain*_mask.nii.gz"
_TEMPLATES = "templateflow"


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured.

    Attributes
    ----------
    engine, target
        What built which stage of the Dockerfile.
    image_mb
        Size of the image, all layers, MB.
    build_s, participant_s, group_s
        Seconds of the build and of each level inside.
    masks
        How many were made inside.
    least_dice
        The lowest agreement of a mask with the one made outside.
    """

    engine: str
    target: str
    image_mb: float
    build_s: float
    participant_s: float
    group_s: float
    masks: int
    least_dice: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was found; return 1 if the image does not do what it should."""
    args = _arguments(argv)
    engine = find_engine()
    if engine is None:
        print("benchmarks.container: no engine: neither docker, podman nor buildah answers `info`",
              file=sys.stderr)  # fmt: skip
        return 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            found = check(engine, args, Path(folder))
        except BenchmarkError as error:
            print(f"benchmarks.container: {error}", file=sys.stderr)
            return 1
    for name, value in asdict(found).items():
        print(f"{name:14} {value:.6g}" if isinstance(value, float) else f"{name:14} {value}")
    if args.json:
        args.json.write_text(json.dumps(asdict(found), indent=2) + "\n")
    if found.target == "cpu" and found.image_mb > LARGEST_CPU_MB:
        print(f"the image is larger than {LARGEST_CPU_MB:.0f} MB", file=sys.stderr)
        return 1
    return 0


def check(engine: Engine, args: argparse.Namespace, folder: Path) -> Found:
    """Build, run inside and outside, compare.

    Parameters
    ----------
    engine
        What builds and runs.
    args
        The options.
    folder
        An empty folder to work in.

    Raises
    ------
    BenchmarkError
        If a step fails or the masks differ.
    """
    data = args.bids_dir or _example(folder / "raw")
    inside, outside = folder / "inside", folder / "outside"
    inside.mkdir(mode=0o777)
    inside.chmod(0o777)  # for a user whom this machine does not know either
    if args.image is None and args.base_from_debootstrap and not engine.has(BASE):
        print("making the base image from Debian's packages")
        make_base(engine)
    image = args.image or f"bids_strip:check-{args.target}-{os.getpid()}"
    with _built(engine, args, folder / "context", image) as build_s:
        image_mb = engine.size_mb(image)
        print(f"{image}: {image_mb:.0f} MB, {engine.name}, built in {build_s:.0f} s", flush=True)
        participant_s, group_s = _run_inside(engine, image, data.resolve(), inside)
    _run_outside(data, outside)
    dice = compare(inside, outside)
    if not min(dice.values()) >= LEAST_DICE:
        raise BenchmarkError(f"masks differ from those made outside: {dice}")
    return Found(engine.name, args.target, image_mb, build_s, participant_s, group_s, len(dice),
                 min(dice.values()))  # fmt: skip


def compare(inside: Path, outside: Path) -> dict[str, float]:
    """Dice of each mask with the one of the same name.

    Raises
    ------
    BenchmarkError
        If there is none, or the names are not the same.
    """
    names = [{str(path.relative_to(folder)) for path in folder.glob(_MASKS)}
             for folder in (inside, outside)]  # fmt: skip
    if not names[0] or names[0] != names[1]:
        raise BenchmarkError(f"masks inside: {sorted(names[0])}; outside: {sorted(names[1])}")
    return {name: _dice(inside / name, outside / name) for name in sorted(names[0])}


def _dice(one: Path, other: Path) -> float:
    a, b = (read_mask(path).data for path in (one, other))
    return geometry.dice(a, b)


@contextmanager
def _built(engine: Engine, args: argparse.Namespace, context: Path, image: str) -> Iterator[float]:
    """Build the image for the time of a block; yields the seconds that it took."""
    if args.image is not None:
        yield 0.0
        return
    _make_context(context, args.templates)
    options = ["--target", args.target, "--build-arg", f"VERSION={__version__}",
               "--build-arg", f"REVISION={_revision()}",
               "--build-arg", f"TEMPLATES={_TEMPLATES if args.templates else ''}"]  # fmt: skip
    mounts = [*args.build_mount, *(build_mounts(context.parent) if args.host_packages else [])]
    if mounts and engine.name == "docker":
        print("docker mounts nothing into a build; it is built without the mounts")
    elif mounts:
        options += [f"--volume={mount}:ro" for mount in mounts]
    started = time.perf_counter()
    engine.build(context, image, options=options)
    try:
        yield time.perf_counter() - started
    finally:
        if not args.keep:
            engine.remove(image)


def _make_context(context: Path, templates: Path | None) -> None:
    """Copy what .dockerignore lets through, and the templates; the checkout is left as it is."""
    context.mkdir()
    for name in ("Dockerfile", ".dockerignore", *context_names()):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, context / name)
        else:
            shutil.copy2(source, context / name)
    if templates is not None:
        shutil.copytree(templates, context / _TEMPLATES)


def context_names() -> list[str]:
    """Files and folders of the checkout that the image is built from."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return [name for name in kept if not name.startswith(_TEMPLATES)]


def _run_inside(engine: Engine, image: str, data: Path, out: Path) -> tuple[float, float]:
    """Probe, Singularity's sections, both levels; seconds of the levels."""
    probe = (ROOT / "container" / "probe.sh").read_text(encoding="utf-8")
    section = sections((ROOT / "Singularity.def").read_text(encoding="utf-8"))
    bare = ("/usr/bin/env", "-i", "/bin/sh", "-c")  # as with --cleanenv
    places = ("/data", "/out")
    with engine.opened(image, data, out) as run:
        print(_checked(run("/bin/sh", "-c", probe, "probe", str(USER))))
        print(_checked(run(*bare, f"{section['environment']}\n{section['test']}")))
        started = time.perf_counter()
        print(_checked(run("bids_strip", *places, "participant")))
        done = time.perf_counter()
        again = f"{section['environment']}\n{section['runscript']}"  # skips what is done
        print(_checked(run(*bare, again, "runscript", *places, "participant")))
        later = time.perf_counter()
        # as Boutiques starts it: a login shell in the place of the entry point
        print(_checked(run("/bin/sh", "-l", "-c", 'exec bids_strip "$@"', "sh", *places, "group")))
        return done - started, time.perf_counter() - later


def sections(definition: str) -> dict[str, str]:
    """Sections of a Singularity definition: name -> text; the header's name is empty."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in definition.splitlines():
        if line.startswith("%"):
            name = line.removeprefix("%").strip()
            found[name] = []
        else:
            found[name].append(line.strip())
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def _checked(finished: Finished) -> str:
    if finished.code:
        raise BenchmarkError(f"exit {finished.code} in the container:\n{finished.output}")
    return finished.output.rstrip()


def _run_outside(data: Path, out: Path) -> None:
    command = [sys.executable, "-m", "bids_strip", str(data), str(out), "participant"]
    finished = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)  # fmt: skip
    if finished.returncode:
        raise BenchmarkError(f"exit {finished.returncode} outside:\n{finished.stdout}")


def _example(raw: Path) -> Path:
    """Draw the embedded example."""
    subprocess.run([sys.executable, "-m", "bids_strip.example", str(raw)], check=True)
    return raw


def _revision() -> str:
    """The checkout's commit, or ``unknown``."""
    if shutil.which("git") is None:
        return "unknown"
    said = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    return said.stdout.strip() or "unknown"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.container",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path, nargs="?", metavar="BIDS_DIR")
    parser.add_argument("--target", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--templates", type=Path, metavar="DIR", default=_shared_templates(),
                        help="a TEMPLATEFLOW_HOME to take the MNI template from "
                        "(default: that of BIDS_STRIP_TEST_DATA, or none)")  # fmt: skip
    parser.add_argument("--host-packages", action="store_true",
                        help="mount this machine's pip and apt configuration for the build, and "
                        "what it names")  # fmt: skip
    parser.add_argument("--build-mount", action="append", metavar="HOST:CONTAINER", default=[],
                        help="something else to mount read-only for the build")  # fmt: skip
    parser.add_argument("--base-from-debootstrap", action="store_true",
                        help="if the engine lacks the base image, make it with debootstrap "
                        "instead of pulling it; needs root")  # fmt: skip
    parser.add_argument("--image", metavar="NAME",
                        help="check this image, which is there, and build none")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the image that was built")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _shared_templates() -> Path | None:
    folder = Path(os.environ.get("BIDS_STRIP_TEST_DATA", "")) / _TEMPLATES
    return folder if folder.is_dir() and "BIDS_STRIP_TEST_DATA" in os.environ else None


if __name__ == "__main__":
    sys.exit(main())
