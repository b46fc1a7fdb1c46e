"""The methods paragraph of what was run, ``logs/CITATION.md``; pure.

Each of `_PARTS` gives the sentences of one part of the way, with ``[@key]`` where a reference of
`_REFERENCES` belongs; references are numbered in the order of their use. No date, user or host:
the same options and network give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bids_strip.card import EMBEDDED, Card
from bids_strip.domain import WHITE_MATTER
from bids_strip.naming import APP
from bids_strip.recipe import Recipe

_REFERENCES: Mapping[str, str] = MappingProxyType({
    "bids": "Gorgolewski KJ, Auer T, Calhoun VD, et al. The brain imaging data structure, a format "
            "for organizing and describing outputs of neuroimaging experiments. Scientific Data "
            "2016;3:160044. doi:10.1038/sdata.2016.44",
    "synthstrip": "Hoopes A, Mora JS, Dalca AV, Fischl B, Hoffmann M. SynthStrip: skull-stripping "
                  "for any brain image. NeuroImage 2022;260:119474. "
                  "doi:10.1016/j.neuroimage.2022.119474",
    "synthseg": "Billot B, Greve DN, Puonti O, et al. SynthSeg: segmentation of brain MRI scans of "
                "any contrast and resolution without retraining. Medical Image Analysis "
                "2023;86:102789. doi:10.1016/j.media.2023.102789",
    "wells": "Wells WM, Grimson WEL, Kikinis R, Jolesz FA. Adaptive segmentation of MRI data. IEEE "
             "Transactions on Medical Imaging 1996;15(4):429-442. doi:10.1109/42.511747",
    "zhang": "Zhang Y, Brady M, Smith S. Segmentation of brain MR images through a hidden Markov "
             "random field model and the expectation-maximization algorithm. IEEE Transactions on "
             "Medical Imaging 2001;20(1):45-57. doi:10.1109/42.906424",
    "templateflow": "Ciric R, Thompson WH, Lorenz R, et al. TemplateFlow: FAIR-sharing of "
                    "multi-scale, multi-species brain models. Nature Methods 2022;19:1568-1571. "
                    "doi:10.1038/s41592-022-01681-2",
    "linkage": "Sharma, Polonen, Pajula, Suksi, Tohka. Cross-Dataset Linkage of Brain MRI using "
               "Image Similarity Measures. arXiv:2602.10043",
})  # fmt: skip
"""Works that sentences name, by key."""

_NOTE = """\
This text may be used as it is: it is given under CC0 1.0
(https://creativecommons.org/publicdomain/zero/1.0/), without any condition.
"""


def citation(recipe: Recipe, card: Card, *, version: str, identity: bool = False) -> str:
    """Write the methods paragraph and its references.

    Parameters
    ----------
    recipe
        What was asked for.
    card
        The network.
    version
        Of this program.
    identity
        True if it was asked whose brain is whose.

    Returns
    -------
    str
        Markdown: the paragraph, the references it names, a CC0 note.
    """
    sentences = [sentence for part in _PARTS for sentence in part(recipe, card, version)]
    sentences += [_IDENTITY] if identity else []
    text, used = _numbered(" ".join(sentences))
    listed = "\n".join(f"{number}. {_REFERENCES[key]}" for key, number in used.items())
    return f"# Methods\n\n{text}\n\n# References\n\n{listed}\n\n# Licence of this text\n\n{_NOTE}"


def _numbered(text: str) -> tuple[str, dict[str, int]]:
    """Replace each ``[@key]`` by the number of its reference, counted by first use."""
    keys = dict.fromkeys(re.findall(r"\[@(\w+)\]", text))
    used = {key: number for number, key in enumerate(keys, 1)}
    return re.sub(r"\[@(\w+)\]", lambda found: f"[{used[found[1]]}]", text), used


def _network(recipe: Recipe, card: Card, version: str) -> list[str]:
    """How the surface was found."""
    training = (
        ", which was trained on synthetic images of label maps alone [@synthseg],"
        if card.path.stem == EMBEDDED
        else ""
    )
    return [
        f"The images of the dataset, organised as BIDS [@bids], were skull-stripped with {APP} "
        f"{version}.",
        f"The network {card.name} {card.version} (SHA-256 {card.sha256}){training} predicted the "
        "signed distance to the surface, which was brought to the grid of each image before the "
        "threshold [@synthstrip].",
        "Separate pieces were dropped, holes were filled.",
    ]


def _surface(recipe: Recipe, card: Card, version: str) -> list[str]:
    """Which surface, and where it lies."""
    what = card.definition
    if recipe.no_csf:
        found = "The surface is that of the tissue, without the fluid around it."
    elif what:
        found = f"The surface encloses: {what}."
    else:
        found = "The surface is the one that the network calls brain."
    side = "outwards" if recipe.border_mm > 0 else "inwards"
    shift = f"It was shifted by {abs(recipe.border_mm):g} mm {side}."
    return [found, *([shift] if recipe.border_mm else [])]


def _exceptions(recipe: Recipe, card: Card, version: str) -> list[str]:
    """What does not follow the network."""
    own = "Images that held no head around the brain kept their own outline"
    return [
        *([] if recipe.no_csf else [f"{own} (flag already_stripped of the records)."]),
        "Where a rater had edited a mask, the edited mask was taken unshifted and everything was "
        "made from it (flag manual of the records).",
    ]


def _brightness(recipe: Recipe, card: Card, version: str) -> list[str]:
    """What was done to brightness, and how tissues were told apart."""
    field = (
        "A smooth multiplicative field, a sum of cosines of half a wavelength of "
        f"{recipe.bias_smoothness_mm:g} mm or more, was estimated within the surface in turn with "
        "Gaussian classes of tissue [@wells] and divided out."
    )
    prior = "the network's tissues" if card.output("tissue") else "the depth below the surface"
    return [
        *([field] if recipe.bias_smoothness_mm else []),
        f"The median of white matter was brought to {WHITE_MATTER:g}.",
        "Grey matter, white matter and cerebrospinal fluid were told apart by brightness, with "
        f"{prior} as prior and neighbouring voxels in a Markov random field [@zhang].",
    ]


def _templates(recipe: Recipe, card: Card, version: str) -> list[str]:
    """The spaces that images were brought into."""
    if not recipe.spaces:
        return []
    return [
        f"Masks and images were brought into {' and '.join(recipe.spaces)} of TemplateFlow "
        "[@templateflow] by an affine of twelve parameters, found from the surface and from the "
        "brightness within it, and resampled once."
    ]


_IDENTITY = (
    "To find exchanged and doubled labels, the stripped brains were brought onto a coarse "
    "reference by an affine, and the correlation of their locally normalised brightness was "
    "compared [@linkage]."
)

_PARTS: tuple[Callable[[Recipe, Card, str], list[str]], ...] = (
    _network, _surface, _brightness, _templates, _exceptions,
)  # fmt: skip
