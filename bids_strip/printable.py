"""Texts of others as one line of a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""Show a text without letting it do anything: ``\x1b``, ``\n`` and the like are spelled out.

    What Unicode does not count as printable is meant: control characters, line and paragraph
    separators, marks that turn the direction of writing, halves of characters.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def first_line(error: BaseException) -> str:
    """What an error says first, its type's name if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def folded(text: str) -> str:
    """The words of a text in one line: a blank for whatever white space stood between them."""
    return " ".join(text.split())
