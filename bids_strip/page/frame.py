"""Frames of pages: one self-contained HTML file each, what is put into it escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any


def part(name: str) -> str:
    """A style, script or frame that lies in this package."""
    return resources.files("bids_strip.page").joinpath(name).read_text(encoding="utf-8")


def filled(
    name: str, *, style: str, script: str, loads_scripts: bool = False, **fields: Any
) -> bytes:
    """A page from its frame, with a policy that lets nothing else in.

    Parameters
    ----------
    name
        Of the frame, a template of Jinja's in this package.
    style, script
        The only ones in it.
    loads_scripts
        True if the script may load others that lie beside the page.
    **fields
        What it shows; escaped unless the frame says ``safe``.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    frames = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(part))
    policy = _policy(style=style, script=script, loads_scripts=loads_scripts)
    page = frames.get_template(name).render(policy=policy, style=style, script=script, **fields)
    return page.encode("utf-8", "backslashreplace")


def json_in_html(value: Any) -> str:
    """JSON that may stand inside a script element: no ``<`` that could end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(*, style: str, script: str, loads_scripts: bool) -> str:
    """Content security policy: this style and this script, pictures, what lies beside the page.

    ``file:`` is for a page that is opened from a folder, ``'self'`` for one that a server gives.
    """
    beside = ("file:", "'self'")
    return "; ".join([
        "default-src 'none'",
        " ".join(["img-src", "data:", *beside]),
        f"style-src {_hash_of(style)}",
        " ".join(["script-src", _hash_of(script), *(beside if loads_scripts else ())]),
        "base-uri 'none'",
        "form-action 'none'",
    ])  # fmt: skip


def _hash_of(text: str) -> str:
    """Of an inline element's content as it stands in the page, line breaks included."""
    digest = hashlib.sha256(f"\n{text}\n".encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
