"""Names of files, and texts for messages."""

from __future__ import annotations

import itertools
import re
from collections.abc import Container

NAME_BYTES = 100
LABEL_LENGTH = 60


def file_stem(name: str, label: str) -> str:
    """Name for a file, without its ending, fit for every file system.

    Parameters
    ----------
    name : str
        Of the image.
    label : str
        Of the wanted part, cut if it is long; empty for the whole image.
    """
    name = re.sub(r"(\.ome)?\.tiff?$", "", name, flags=re.IGNORECASE)
    name = "".join(sign if sign.isprintable() else "/" for sign in name)
    name = re.sub(r'[/\\:*?"<>|]+', "_", name).strip(" .")
    # The limit is in bytes and leaves room for what is added to the name.
    name = name.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore").rstrip(" .")
    label = label if len(label) <= LABEL_LENGTH else f"{label[: LABEL_LENGTH - 1]}…"
    return f"{name or 'image'} {label}".rstrip()


def unique_name(name: str, used: Container[str]) -> str:
    """A name that is not among those used, whatever the case of the letters: ``cells (2).ims``.

    Parameters
    ----------
    name : str
        Of a file.
    used : container of str
        Case-folded.
    """
    stem, dot, ending = name.rpartition(".")
    for number in itertools.count(2):
        if name.casefold() not in used:
            break
        name = f"{stem} ({number}){dot}{ending}"
    return name


def one_line(text: str) -> str:
    """A text of any kind fit for a message: one line, not too long."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= NAME_BYTES else f"{text[: NAME_BYTES - 1]}…"


def size_text(size: int) -> str:
    """A number of bytes for people."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
