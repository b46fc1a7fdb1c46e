"""Findings about a run, and which run of a session is proposed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FLAGS: Mapping[str, str] = MappingProxyType({
    "already_stripped": "1 if the input had no head around its brain: the mask is its outline "
                        "(with --no-csf the network's)",
    "manual": "1 if a rater edited the mask: it was followed, and everything is made from it",
    "form_mismatch": "1 if sform and qform of the input differ; the sform was followed",
    "no_orientation": "1 if the input has neither sform nor qform; left and right are a guess",
    "template_mismatch": "1 if the affine to a template is none that a head can have: nothing was "
    "written in that space",
    "no_tissue_prior": "1 if the network tells no tissues: they were found from brightness and the "
                       "depth below the surface alone",
    "defaced": "1 if the face is taken off: less than three tenths of its place (face_share) hold "
               "head",
    "sheared": "1 if the input's voxel axes are not at right angles; they were taken to be",
})  # fmt: skip
"""Findings about a run that are true or false."""

BEST_RUN = (
    "among the runs of a participant and session that are done, 1 for the one that no rater "
    "rejected (its mask as it is), then with the fewest reasons of the verdict, then the fewest "
    "findings about its image (already_stripped, form_mismatch, no_orientation, sheared), then the "
    "least contact with the field of view (sum of fov_contact, in whole cm2), then the sdt_slope "
    "nearest to 1 (in steps of .01), then the least volume_change_per_mm, then the first name; 0 "
    "for the others and for runs that failed"
)
"""Which run of a session is proposed."""
