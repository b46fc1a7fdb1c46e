"""Put a run's outputs on disk: checked, written beside, renamed; the record last."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import (
    SDT_STEP_MM,
    Products,
    Quantised,
    Registration,
    Run,
    Segmented,
)
from bids_strip.errors import WriteError
from bids_strip.geometry import Box, bounding_box, windowed
from bids_strip.identity.store import descriptor_name
from bids_strip.itk import itk_affine
from bids_strip.naming import (
    IMAGE,
    figure_pattern_in_spaces,
    figures_of,
    names_in,
    names_of,
    patterns_in_spaces,
    sidecar_name,
    transform_names,
)
from bids_strip.nifti import on_source, on_template
from bids_strip.output.place import Batch, Place, remove
from bids_strip.output.sidecars import sidecar, sidecar_in
from bids_strip.recipe import Recipe
from bids_strip.record import OutputFile, Record
from bids_strip.slabs import side_by_side
from bids_strip.spline import spline_resampled
from bids_strip.text_file import to_json

_SPLINE_MM = 15.0
"""Room around the brain that a spline is given: what lies farther is not felt there."""
_TISSUES = (
    ("Background", "BG", "#000000"),
    ("Grey Matter", "GM", "#c0504d"),
    ("White Matter", "WM", "#f2f2f2"),
    ("Cerebrospinal Fluid", "CSF", "#4f81bd"),
    ("Bone", "B", "#e0c080"),
    ("Soft Tissue", "ST", "#9bbb59"),
)
"""Name, abbreviation and colour of each label: the indices are BIDS' own."""


@dataclass(frozen=True, slots=True)
class Writer:
    """What the files of one run have in common.

    Attributes
    ----------
    run
        Which one.
    recipe
        Which outputs are asked for; the mask is always written.
    network
        Name, version, sha256: for the sidecars.
    version
        Of this program.
    place
        Where to.
    only
        Kinds to write of those that are asked for; None writes all.
    threads
        Threads of resampling.
    """

    run: Run
    recipe: Recipe
    network: Mapping[str, str]
    version: str
    place: Place
    only: Container[str] | None = None
    threads: int = 1

    def wants(self, kind: str) -> bool:
        """Tell whether a kind is to be written."""
        asked = kind == "mask" or kind.split("_")[0] in self.recipe.outputs
        return asked and (self.only is None or kind in self.only)

    def sidecar(self, kind: str, *, edited: bool) -> dict[str, object]:
        """Metadata of an image on the run's own grid."""
        return sidecar(kind, self.run, recipe=self.recipe, version=self.version,
                       network=self.network, edited=edited)  # fmt: skip


def write(writer: Writer, products: Products) -> tuple[OutputFile, ...]:
    """Write the images of a run and their sidecars.

    Parameters
    ----------
    writer
        Which run, which files, and where to.
    products
        What was made of the run; native-grid files keep the source header's geometry.

    Raises
    ------
    WriteError
        If an image does not fit its source, or the file system refuses.
    """
    shape = products.brain.mask.shape
    if shape != products.source.volume.grid.shape:
        raise WriteError(f"mask {shape} is not on the grid of {writer.run.relative}")
    written = _write_native(writer, products)
    for registration in products.registrations:
        if registration.plausible and registration.mask.any():
            written += _write_in_space(writer, products, registration)
    return tuple(written)


def _write_native(writer: Writer, products: Products) -> list[OutputFile]:
    """Write what lies on the run's own grid."""
    makers: dict[str, Callable[[Products], bytes]] = {
        "mask": _mask_bytes,
        "sdt": _sdt_bytes,
        "brain": _brain_bytes,
        "preproc": _preproc_bytes,
        "dseg": _dseg_bytes,
        "dseg_table": _table_bytes,
        "probseg_GM": partial(_share_bytes, 0),
        "probseg_WM": partial(_share_bytes, 1),
        "probseg_CSF": partial(_share_bytes, 2),
    }
    names, place = names_of(writer.run), writer.place
    kinds = [kind for kind in makers if writer.wants(kind)]
    contents = side_by_side(lambda kind: makers[kind](products), kinds, threads=writer.threads)
    written: list[OutputFile] = []
    for kind, content in zip(kinds, contents, strict=True):
        name = names[kind]
        written.append(place.put(name, content))
        if name.endswith(IMAGE):
            metadata = writer.sidecar(kind, edited=products.brain.edited)
            written.append(place.put(sidecar_name(name), to_json(metadata)))
    return written


def _write_in_space(
    writer: Writer, products: Products, registration: Registration
) -> list[OutputFile]:
    """Write a run's images in a template space, their sidecars, and the affine both ways."""
    run, space, place = writer.run, registration.space, writer.place
    written: list[OutputFile] = []
    for kind, content in _images_in_space(writer, products, registration):
        name = names_in(run, space)[kind]
        written.append(place.put(name, content))
        native = writer.sidecar(kind, edited=products.brain.edited)
        metadata = to_json(
            sidecar_in(
                kind,
                run,
                space,
                native,
                template=registration.source,
                outputs=writer.recipe.outputs,
            )
        )
        written.append(place.put(sidecar_name(name), metadata))
    there, back = transform_names(run, space.anatomy)
    to_template = registration.to_template
    written.append(place.put(there, itk_affine(np.asarray(np.linalg.inv(to_template)))))
    written.append(place.put(back, itk_affine(to_template)))
    return written


def write_figures(figures: Mapping[str, bytes], place: Place) -> None:
    """Put pictures in their places.

    Raises
    ------
    WriteError
        If the file system refuses.
    """
    for name, content in figures.items():
        place.put(name, content)


def write_record(run: Run, record: Record, place: Place) -> None:
    """Write the record: after everything else, a run with one is done."""
    place.put(names_of(run)["qc"], to_json(record.to_json()))


def publish(run: Run, record: Record, batch: Batch, *, renewed: bool) -> None:
    """Give a run's files their names: all at once, as far as a file system can.

    Everything is on the disk before the record of an earlier result goes; the new record comes
    last. A call that is killed in between, which takes some ms, leaves no record: the run is done
    again.

    Parameters
    ----------
    run, record, batch
        What they are of, and the files.
    renewed
        True if pictures that are not among the files still hold.

    Raises
    ------
    WriteError
        If the file system refuses.
    """
    batch.flush()
    stay = {*batch.held, *(output.name for output in record.outputs)}
    if renewed:
        stay |= {*_figures(run, batch.output_dir)}
    remove_outputs(run, batch.output_dir, but=stay - {names_of(run)["qc"]})
    batch.publish()


def remove_outputs(run: Run, output_dir: Path, *, but: Container[str] = ()) -> None:
    """Remove what an earlier attempt left, the record first, the descriptor of its brain too.

    A mask edited by hand is not ours and stays.

    Parameters
    ----------
    but
        Names below OUTPUT_DIR that stay, for they are about to be replaced or still hold.

    Raises
    ------
    WriteError
        If something is in the way that is no file, or the file system refuses.
    """
    names = names_of(run)
    images = [name for kind, name in names.items() if kind != "qc"]
    in_spaces = [
        name for pattern in patterns_in_spaces(run) for name in _found(output_dir, pattern)
    ]
    figures = _figures(run, output_dir)
    every = (names["qc"], descriptor_name(run.name), *images, *map(sidecar_name, images),
             *in_spaces, *figures)  # fmt: skip
    for name in every:
        if name not in but:
            remove(output_dir / name)


def _figures(run: Run, output_dir: Path) -> tuple[str, ...]:
    """Names that pictures of a run may have."""
    return (*figures_of(run).values(), *_found(output_dir, figure_pattern_in_spaces(run)))


def _found(output_dir: Path, pattern: str) -> list[str]:
    return [path.relative_to(output_dir).as_posix() for path in output_dir.glob(pattern)]


def _mask_bytes(products: Products) -> bytes:
    return on_source(products.brain.mask.astype(np.uint8), products.source)


def _sdt_bytes(products: Products) -> bytes:
    return on_source(products.brain.sdt_steps, products.source, slope=SDT_STEP_MM)


def _brain_bytes(products: Products) -> bytes:
    """The corrected image inside the mask, 0 outside."""
    preproc = _preproc(products)
    inside = np.where(products.brain.mask, preproc.steps, np.int16(0))
    return on_source(inside, products.source, slope=preproc.step)


def _preproc_bytes(products: Products) -> bytes:
    preproc = _preproc(products)
    return on_source(preproc.steps, products.source, slope=preproc.step)


def _preproc(products: Products) -> Quantised:
    assert products.preproc is not None  # where it is not, neither it nor the brain is asked for
    return products.preproc


def _dseg_bytes(products: Products) -> bytes:
    return on_source(_tissues(products).labels, products.source)


def _table_bytes(_products: Products) -> bytes:
    """The labels of a ``dseg``, as BIDS tabulates them; its own index of each is `mapping`."""
    lines = ["index\tname\tabbreviation\tcolor\tmapping"]
    lines += [f"{n}\t{name}\t{short}\t{colour}\t{n}" for n, (name, short, colour) in
              enumerate(_TISSUES)]  # fmt: skip
    return ("\n".join(lines) + "\n").encode()


def _share_bytes(tissue: int, products: Products) -> bytes:
    return on_source(_tissues(products).steps[tissue], products.source, slope=1 / 255)


def _tissues(products: Products) -> Segmented:
    assert products.segmented is not None  # another border does not write tissues
    return products.segmented


def _images_in_space(
    writer: Writer, products: Products, registration: Registration
) -> Iterator[tuple[str, bytes]]:
    """Kinds that are wanted in a template space, and their files; one spline serves them all."""
    mask, grid = registration.mask, registration.grid
    if writer.wants("mask"):
        yield "mask", on_template(mask.astype(np.uint8), grid)
    if not (writer.wants("brain") or writer.wants("preproc")):
        return
    step = _preproc(products).step
    if writer.wants("preproc"):
        whole = (slice(0, None),) * 3
        steps = _steps_in_space(products, registration, whole, whole, writer.threads)
    else:
        zooms = products.source.volume.grid.zooms
        near = bounding_box(products.brain.mask, margin_mm=_SPLINE_MM, zooms=zooms)
        box = bounding_box(mask, margin_mm=0.0, zooms=grid.zooms)
        steps = np.zeros(grid.shape, dtype=np.int16)
        steps[box] = _steps_in_space(products, registration, near, box, writer.threads)
    if writer.wants("brain"):
        yield "brain", on_template(np.where(mask, steps, np.int16(0)), grid, slope=step)
    if writer.wants("preproc"):
        yield "preproc", on_template(steps, grid, slope=step)


def _steps_in_space(
    products: Products, registration: Registration, near: Box, box: Box, threads: int
) -> NDArray[np.int16]:
    """The corrected image in a box of the template's grid: by a cubic spline, no new extremes.

    Parameters
    ----------
    near
        Box of the native grid that the spline sees.
    box
        Box of the template's grid.
    """
    i, j, k = np.empty(registration.grid.shape, dtype=bool)[box].shape
    native, template = products.source.volume.grid.affine, registration.grid.affine
    pull = np.linalg.inv(registration.to_template) @ template
    steps = _preproc(products).steps[near]
    to_steps = np.linalg.inv(windowed(native, near)) @ windowed(pull, box)
    found = spline_resampled(steps, to_steps, (i, j, k), threads=threads)
    np.clip(found, min(float(steps.min()), 0.0), float(steps.max()), out=found)
    return np.rint(found, out=found).astype(np.int16)
