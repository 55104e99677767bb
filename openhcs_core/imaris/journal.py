"""How far an export has come: a small file beside the unfinished one, always whole.

The journal says how many bytes of the unfinished file count, and holds the changes to those bytes that
came with the last step. It is replaced in one go, after the file's content is safe on disk and before the
changes are made. So at every moment, whatever ends the program or the machine, file and journal together
are the state after some complete step.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Patch = tuple[int, bytes]
"""Offset in the file, and the bytes that belong there."""


@dataclass(frozen=True)
class Step:
    """A state of an unfinished file from which the work can go on.

    Attributes
    ----------
    identity : str
        Of the image and of all that decides on the content of the file.
    size : int
        Bytes of the file that count.
    patches : list of (int, bytes)
        Changes to them, in this order; making them twice does no harm.
    state : dict
        What the writer has to know, as JSON can hold it.
    """

    identity: str
    size: int
    patches: list[Patch]
    state: dict[str, Any]


def write_journal(path: Path, step: Step) -> None:
    """Replace the journal; returns when it is safe on disk.

    Raises
    ------
    OSError
        If the file system refuses it.
    """
    head = asdict(step) | {"patches": [(offset, len(content)) for offset, content in step.patches]}
    body = b"".join([json.dumps(head).encode(), b"\n", *(content for _, content in step.patches)])
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(b"%08x\n" % zlib.crc32(body) + body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def read_journal(path: Path) -> Step | None:
    """The last step, or None if there is none or the journal is damaged."""
    try:
        check, _, body = path.read_bytes().partition(b"\n")
        if int(check, 16) != zlib.crc32(body):
            return None
        head, _, content = body.partition(b"\n")
        fields = json.loads(head)
        patches, begin = [], 0
        for offset, length in fields["patches"]:
            patches.append((offset, content[begin : begin + length]))
            begin += length
        return Step(**fields | {"patches": patches})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_journal(path: Path) -> None:
    """Remove the journal, and what a killed `write_journal` left."""
    for name in (path, path.with_name(path.name + ".new")):
        with contextlib.suppress(FileNotFoundError):
            name.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as safe as its file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
