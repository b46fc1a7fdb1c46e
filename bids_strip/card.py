"""The network card: all that the predictor knows of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_strip.domain import Zooms
from bids_strip.errors import ModelError
from bids_strip.network_file import read_network
from bids_strip.printable import folded
from bids_strip.text_file import read_json

EMBEDDED = "strip-v1"
_FOLDER = Path(__file__).parent / "models"
_MEANINGS = ("sdt_mm", "logits", "probability")
_MOST_BYTES = 1_000_000
"""Of a card; the embedded one has 7,000."""
_MOST_CHANNELS = 256
_LARGEST_MULTIPLE = 512
_LONGEST_TEXT = 200
"""Of a name or a version, which stand in sidecars and in the methods paragraph."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """How intensities are scaled: two percentiles of the field of view to 0 and 1, then clipped."""

    percentiles: tuple[float, float]
    clip: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor of the network.

    Attributes
    ----------
    name
        Name of the tensor.
    channel
        Channel of the tensor, None for all of them.
    meaning
        ``sdt_mm``, ``logits`` or ``probability``.
    role
        ``brain``, ``brain_no_csf`` or ``tissue``.
    sign
        +1 if values grow outwards, -1 if inwards.
    offset_mm
        Value of the tensor on the surface, mm.
    band_mm
        Distances farther from the surface than this were not trained; None if it is not said.
    labels
        Names of the channels of a label output, in order.
    """

    name: str
    channel: int | None
    meaning: str
    role: str
    sign: int = 1
    offset_mm: float = 0.0
    band_mm: float | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A network and what it expects and gives.

    Attributes
    ----------
    name, version, sha256
        Identity; the hash is of the ONNX file.
    path
        The ONNX file.
    zooms
        Voxel sizes of the input, mm.
    axis_codes
        Directions of the input's axes, for example ``RAS``.
    multiple
        Sides of the input are multiples of this.
    intensity
        Scaling of the input.
    outputs
        What comes out.
    definition
        What its surface encloses, in words; empty if the card does not say.
    """

    name: str
    version: str
    sha256: str
    path: Path
    zooms: Zooms
    axis_codes: str
    multiple: int
    intensity: Intensity
    outputs: tuple[Output, ...]
    definition: str = ""

    @property
    def reference(self) -> str:
        """What `find_card` finds it by on any machine: an embedded name, or an absolute path."""
        return self.path.stem if self.embedded else str(self.path.absolute())

    @property
    def embedded(self) -> bool:
        """True if it is one of our own."""
        return self.path.parent == _FOLDER

    def output(self, role: str) -> Output | None:
        """The output with a role, None if the network has none."""
        return next((o for o in self.outputs if o.role == role), None)


def find_card(model: str | None) -> Card:
    """The card of an embedded network by name, or of a file by path.

    Parameters
    ----------
    model
        Name, path of an ONNX file with its card beside it, or None for the embedded default.

    Raises
    ------
    ModelError
        If file or card is missing or not understood, or the file is not the card's.
    """
    card = card_of(model)
    read_network(card.path, card.sha256, ours=card.embedded)
    return card


def card_of(model: str | None) -> Card:
    """The same, the network's file not read: for who will open it.

    Raises
    ------
    ModelError
        If file or card is missing, or the card not understood.
    """
    name = model or EMBEDDED
    path = Path(name) if name.endswith(".onnx") else _FOLDER / f"{name}.onnx"
    beside = path.with_suffix(".json")
    for needed in (path, beside):
        if not needed.is_file():
            known = ", ".join(sorted(p.stem for p in _FOLDER.glob("*.onnx"))) or "none"
            raise ModelError(
                f"--model {name}: {needed.name} not found; give FILE.onnx with its card FILE.json "
                f"beside it, or an embedded network ({known})"
            )
    try:
        return parse_card(read_json(beside, most=_MOST_BYTES), path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = folded(repr(error))[:_LONGEST_TEXT]
        raise ModelError(
            f"{beside}: not a network card ({reason}); it needs name, version, sha256, input "
            "(zooms_mm, multiple, axis_codes, intensity with percentiles and clip) and outputs "
            "(each with name, channel, meaning, role; one has role brain); "
            f"{_FOLDER / EMBEDDED}.json is one"
        ) from error


def parse_card(data: dict[str, Any], path: Path) -> Card:
    """Build a card from its JSON.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a field is missing or holds what the predictor does not know.
    """
    given = data["input"]
    card = Card(
        name=data["name"],
        version=data["version"],
        sha256=data["sha256"],
        path=path,
        zooms=_three(given["zooms_mm"]),
        axis_codes=given["axis_codes"],
        multiple=int(given["multiple"]),
        intensity=Intensity(
            percentiles=_two(given["intensity"]["percentiles"]),
            clip=_two(given["intensity"]["clip"]),
        ),
        outputs=tuple(
            Output(**{**o, "labels": tuple(o.get("labels", ()))}) for o in data["outputs"]
        ),
        definition=_definition(**data.get("surface", {})),
    )
    _check(card)
    return card


def _definition(definition: str = "", reach_mm: float = 0.0, **_: Any) -> str:
    """The card's words for its surface, with the number they name."""
    return definition.replace("reach_mm", f"{reach_mm:g} mm")


def _check(card: Card) -> None:
    """Refuse what no network can have.

    Raises
    ------
    ValueError
        With the field and its value.
    """
    low, high = card.intensity.percentiles
    floor, ceiling = card.intensity.clip
    sides = sorted(next((i for i, pair in enumerate(("LR", "PA", "IS")) if code in pair), -1)
                   for code in card.axis_codes)  # fmt: skip
    texts = (card.name, card.version, card.sha256, card.axis_codes, card.definition,
             *(text for o in card.outputs for text in (o.name, o.role, *o.labels)))  # fmt: skip
    wrong = [text for text in texts if not (isinstance(text, str) and text.isprintable())]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no text of one line")
    rules = {
        f"axis_codes {card.axis_codes!r}": sides == [0, 1, 2],
        f"multiple {card.multiple}": 1 <= card.multiple <= _LARGEST_MULTIPLE,
        f"zooms_mm {card.zooms}": min(card.zooms) > 0 and all(map(math.isfinite, card.zooms)),
        f"percentiles {low, high}": 0 <= low < high <= 100,
        f"clip {floor, ceiling}": -math.inf < floor < ceiling < math.inf,
        "name or version is longer than "
        f"{_LONGEST_TEXT}": max(len(card.name), len(card.version)) <= _LONGEST_TEXT,
        "no output with role 'brain'": card.output("brain") is not None,
        **{f"output sign {o.sign}": o.sign in (-1, 1) for o in card.outputs},
        **{f"output meaning {o.meaning!r}": o.meaning in _MEANINGS for o in card.outputs},
        **{f"output channel {o.channel!r}": _is_channel(o.channel) for o in card.outputs},
        **{f"output offset_mm, band_mm {o.offset_mm, o.band_mm}": all(
            map(math.isfinite, (o.offset_mm, o.band_mm or 0.0))) for o in card.outputs},
    }  # fmt: skip
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ValueError(broken[0])


def _is_channel(channel: object) -> bool:
    whole = isinstance(channel, int) and not isinstance(channel, bool)
    return channel is None or (whole and 0 <= channel < _MOST_CHANNELS)  # type: ignore[operator]


def _two(values: Any) -> tuple[float, float]:
    low, high = (float(v) for v in values)
    return low, high


def _three(values: Any) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return a, b, c
