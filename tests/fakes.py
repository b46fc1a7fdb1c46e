"""Stand-ins: phantoms with a distance in closed form, predictors that know the answer."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_strip.card import Card, Intensity, Output
from bids_strip.domain import (
    Affine,
    BrainMask,
    Conformed,
    Float3,
    Normalised,
    Prediction,
    Products,
    Run,
    Segmented,
    Source,
)
from bids_strip.geometry import within
from bids_strip.participant import attempt as attempting
from bids_strip.participant.job import Job, Outcome
from bids_strip.participant.normalise import quantised_image

RADIUS_MM = 28.0
"""Radius of the phantom's brain: 92 ml."""
CENTRE_MM = (5.0, -4.0, 3.0)
"""World position of the phantom's brain, off the middle so that a flip shows."""
MIDDLE_MM = (2.0, -3.0, 5.0)
"""World position of the middle of the phantom's field of view."""
ZOOM_MM = 4.0
BRAIN, SKULL, SCALP = 1000.0, 150.0, 300.0
CARD = Card(
    name="fake",
    version="0",
    sha256="0" * 64,
    path=Path("fake.onnx"),
    zooms=(ZOOM_MM, ZOOM_MM, ZOOM_MM),
    axis_codes="RAS",
    multiple=4,
    intensity=Intensity((1.0, 99.0), (0.0, 1.3)),
    outputs=(Output("sdt", 0, "sdt_mm", "brain"),),
)


def rotation(x_deg: float, y_deg: float, z_deg: float) -> NDArray[np.float64]:
    """Turn about x, then y, then z."""
    a, b, c = np.deg2rad([x_deg, y_deg, z_deg])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


DIRECTIONS: dict[str, NDArray[np.float64]] = {
    # columns: where the axes i, j, k point in RAS+
    "RAS": np.diag([1.0, 1.0, 1.0]),
    "LAS": np.diag([-1.0, 1.0, 1.0]),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "PSR": np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "oblique": rotation(12.0, -9.0, 17.0),
}
GRIDS: dict[str, tuple[str, tuple[int, int, int], tuple[float, float, float]]] = {
    # name: directions, shape, zooms
    "RAS": ("RAS", (38, 42, 36), (2.5, 2.5, 2.5)),
    "LAS": ("LAS", (38, 42, 36), (2.5, 2.5, 2.5)),
    "LPS": ("LPS", (38, 42, 36), (2.5, 2.5, 2.5)),
    "PSR": ("PSR", (42, 36, 38), (2.5, 2.5, 2.5)),
    "oblique": ("oblique", (38, 42, 36), (2.5, 2.5, 2.5)),
    "anisotropic": ("LAS", (64, 52, 23), (1.5, 2.0, 4.0)),
}


def grid_affine(
    directions: str, shape: tuple[int, ...], zooms: tuple[float, ...],
    middle: tuple[float, ...] = MIDDLE_MM,
) -> Affine:  # fmt: skip
    """Affine of a grid whose middle lies at a place of the world."""
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS[directions] @ np.diag(zooms)
    affine[:3, 3] = np.array(middle) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def world_of(shape: tuple[int, ...], affine: Affine) -> NDArray[np.float64]:
    """(I, J, K, 3): position of each voxel in RAS+ mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def sphere_sdt(
    world: NDArray[np.float64],
    centre: tuple[float, ...] = CENTRE_MM,
    radius: float = RADIUS_MM,
) -> Float3:
    """Signed distance to a sphere, in closed form."""
    return (np.linalg.norm(world - np.array(centre), axis=-1) - radius).astype(np.float32)


def conformed_world(conformed: Conformed, affine: Affine) -> NDArray[np.float64]:
    """(I, J, K, 3): position of each conformed voxel in RAS+ mm, by the words of `Frame`."""
    frame = conformed.frame
    native: list[Any] = [None, None, None]
    for a in range(3):
        n = frame.native_shape[frame.axes[a]]
        along = frame.firsts[a] + frame.steps[a] * np.arange(conformed.data.shape[a])
        view = [1, 1, 1]
        view[a] = -1
        native[frame.axes[a]] = ((n - 1 - along) if frame.flips[a] else along).reshape(view)
    index = np.stack(np.broadcast_arrays(*native), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A head of spheres: brain, dark skull, scalp, air.

    Attributes
    ----------
    data, sdt : (I, J, K) float32
        Intensities; distance to the brain's surface in closed form.
    affine
        Voxel -> RAS+ mm.
    zooms
        mm.
    """

    data: Float3
    sdt: Float3
    affine: Affine
    zooms: tuple[float, float, float]

    @property
    def image(self) -> nib.Nifti1Image:
        """As NIfTI, int16."""
        image = nib.Nifti1Image(np.rint(self.data).astype(np.int16), self.affine)
        image.header.set_xyzt_units("mm", "sec")
        return image

    @property
    def truth(self) -> NDArray[np.bool_]:
        """The brain."""
        return self.sdt <= 0


def make_phantom(
    name: str = "RAS", *, stripped: bool = False, radius: float = RADIUS_MM, seed: int = 5
) -> Phantom:
    """Draw a phantom on one of `GRIDS`; air holds noise unless the head is stripped."""
    directions, shape, zooms = GRIDS[name]
    affine = grid_affine(directions, shape, zooms)
    sdt = sphere_sdt(world_of(shape, affine), radius=radius)
    noise = np.random.default_rng(seed).uniform(1, 30, shape)
    data = noise.copy()
    data[sdt <= 14] = SCALP
    data[sdt <= 7] = SKULL
    data[sdt <= 0] = BRAIN
    data[sdt <= 7] += noise[sdt <= 7]
    if stripped:
        data[sdt > 0] = 0
    return Phantom(data.astype(np.float32), sdt, affine, zooms)


def normalised_of(source: Source) -> Normalised:
    """Brightness as it was read."""
    return Normalised(source.volume, np.zeros(source.volume.data.shape, np.float32), 0.0, 1.0)


def segmented_of(brain: BrainMask) -> Segmented:
    """White matter all through the surface."""
    inside = within(brain.sdt_steps, 0.0)
    steps = np.zeros((3, *inside.shape), np.uint8)
    steps[1, inside] = 255
    return Segmented(np.where(inside, np.uint8(2), np.uint8(0)), steps)


def products_of(source: Source, brain: BrainMask) -> Products:
    """Products of `normalised_of` and `segmented_of`."""
    preproc = quantised_image(source.volume, normalised_of(source))
    return Products(source, brain, preproc, segmented_of(brain))


Answer = Callable[[Conformed], Float3]


@dataclass(frozen=True)
class TrueSphere:
    """Answers with the closed-form distance to the phantom's brain."""

    affine: Affine = field(default_factory=lambda: make_phantom().affine)
    radius: float = RADIUS_MM

    def __call__(self, conformed: Conformed) -> Float3:
        return sphere_sdt(conformed_world(conformed, self.affine), radius=self.radius)


def by_brightness(conformed: Conformed) -> Float3:
    """Answer with a level set: what is brighter than half lies inside."""
    return ((0.6 - conformed.data) * 10).astype(np.float32)


def raises_on(error: Exception) -> Answer:
    """Make an answer that is an exception."""

    def answer(_: Conformed) -> Float3:
        raise error

    return answer


@dataclass(frozen=True)
class FakePredictor:
    """A predictor without a network: `answer` gives the distances."""

    answer: Answer = by_brightness
    card: Card = CARD
    provider: str = "fake"

    def __call__(self, conformed: Conformed) -> Prediction:
        return Prediction(brain_mm=self.answer(conformed))


def run_of(path: Path, root: Path) -> Run:
    """The run of a file by its name."""
    stem, suffix = path.name.split(".")[0].rsplit("_", 1)
    pairs = tuple((k, v) for k, _, v in (p.partition("-") for p in stem.split("_")))
    return Run(path, path.relative_to(root).as_posix(), pairs, suffix)


def attempt(job: Job, predictor: FakePredictor) -> Outcome:
    """Strip one run with a predictor that is open already."""
    return attempting.attempt(job, lambda: predictor)


def work_or_die(job: Job, _network: object, _wait_s: float = 0.0) -> Outcome:
    """Stand-in for `worker.work`: the process dies of a run that has 'deadly' in its name."""
    if "deadly" in job.run.path.name:
        os._exit(9)
    return attempt(job, FakePredictor())


def write_network(
    folder: Path, *, name: str = "tiny", meaning: str = "sdt_mm", gain: float = -10.0,
    middle: float = 0.6, sigmoid: bool = False, sign: int = 1, zoom: float = ZOOM_MM,
    offset: float = 0.0, multiple: int = 4,
) -> Path:  # fmt: skip
    """Write an ONNX network ``gain * (image - middle)`` (then a sigmoid) and its card."""
    from onnx import TensorProto, helper, numpy_helper

    free = [1, 1, "i", "j", "k"]
    steps = [
        helper.make_node("Sub", ["image", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain"], ["level" if sigmoid else "sdt"]),
    ]
    if sigmoid:
        steps.append(helper.make_node("Sigmoid", ["level"], ["sdt"]))
    graph = helper.make_graph(
        steps,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("sdt", TensorProto.FLOAT, free)],
        [
            numpy_helper.from_array(np.array(value, np.float32), key)
            for key, value in (("middle", middle), ("gain", gain))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    write_card(
        path,
        outputs=[{"name": "sdt", "channel": 0, "meaning": meaning, "role": "brain",
                  "sign": sign, "offset_mm": offset}],
        zoom=zoom, multiple=multiple,
    )  # fmt: skip
    return path


def write_card(path: Path, **changes: Any) -> Path:
    """Write the card of an ONNX file."""
    zoom = changes.pop("zoom", ZOOM_MM)
    card = {
        "name": path.stem,
        "version": "7",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {
            "zooms_mm": [zoom] * 3,
            "multiple": changes.pop("multiple", 4),
            "axis_codes": "RAS",
            "intensity": {"percentiles": [1.0, 99.0], "clip": [0.0, 1.3]},
        },
        "outputs": [{"name": "sdt", "channel": 0, "meaning": "sdt_mm", "role": "brain"}],
        **changes,
    }
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps(card), encoding="utf-8")
    return beside


def refusing(number: int) -> Callable[..., Any]:
    """Stand-in for a call to the system that fails with an error's number."""

    def refuse(path: Path, *_args: object, **_kwargs: object) -> Any:
        raise OSError(number, os.strerror(number), str(path))

    return refuse


def damage(path: Path) -> None:
    """Cut an image short."""
    path.write_bytes(path.read_bytes()[:1500])


def flip_a_bit(path: Path) -> None:
    """Change a voxel in the middle of a compressed image; its checksum alone can tell."""
    packed = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), 0))  # stored, not coded
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)


def ends_on_sigterm(process: subprocess.Popen[str], *, once_it_says: str) -> None:
    """Wait for a line, send SIGTERM, and see the call end in time with 143 and one word of it."""
    assert process.stdout is not None
    assert process.stdout.readline() == f"{once_it_says}\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 143
    assert time.monotonic() - begun < 10
    assert "terminated" in error


def put_away(path: Path, where: str | None) -> None:
    """A file whose content is away: a link to nothing, or for None a pointer of git-annex."""
    if where is None:
        path.write_text(f"/annex/objects/MD5E-s1--0{path.suffix}\n")
    else:
        path.symlink_to(where)
