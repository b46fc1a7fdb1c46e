"""Frames of pages: one self-contained HTML file each, what is put into it escaped."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def part(name: str) -> str:
    """A style or script that lies in this package."""
    return resources.files("bids_strip.page").joinpath(name).read_text(encoding="utf-8")


def filled(name: str, **fields: Any) -> bytes:
    """A page from its frame.

    Parameters
    ----------
    name
        Of the frame, a template of Jinja's in this package.
    **fields
        What it shows; escaped unless the frame says ``safe``.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    frames = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(part))
    return frames.get_template(name).render(fields).encode("utf-8", "backslashreplace")


def json_in_html(value: Any) -> str:
    """JSON that may stand inside a script element: no ``<`` that could end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
