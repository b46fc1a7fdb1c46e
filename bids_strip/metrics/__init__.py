"""Quality metrics and flags, each described once.

The group table's dictionary, the tooltips of pages and ``docs/METRICS.md`` are made of them.

A metric that cannot be had of a run is absent from its record, never a made-up number.
"""

from bids_strip.metrics.flags import BEST_RUN, FLAGS
from bids_strip.metrics.image import IMAGE_METRICS
from bids_strip.metrics.mask import MASK_METRICS, TEMPLATE_METRICS
from bids_strip.metrics.metric import AXES, FACES, TISSUES, Metric

__all__ = [
    "ALL_METRICS", "AXES", "BEST_RUN", "FACES", "FLAGS", "IMAGE_METRICS", "MASK_METRICS", "METRICS",
    "TEMPLATE_METRICS", "TISSUES", "Metric",
]  # fmt: skip

METRICS: tuple[Metric, ...] = (*MASK_METRICS, *IMAGE_METRICS)
"""Of every run."""
ALL_METRICS: tuple[Metric, ...] = (*METRICS, *TEMPLATE_METRICS)
