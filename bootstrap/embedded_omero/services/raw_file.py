"""RawFileStore: the bytes of original files."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .. import errors, permissions
from ..store import Record, now_ms
from .base import StatefulService

if TYPE_CHECKING:
    from ..context import Call

BLOCK = 1 << 20


def checksum(path: Path, algorithm: str) -> str | None:
    """Hash of a file in the server's notation; None for an algorithm which is not computed here."""
    if algorithm == "File-Size-64":
        return f"{path.stat().st_size:016x}"
    if algorithm in ("CRC-32", "Adler-32"):
        update, value = (zlib.crc32, 0) if algorithm == "CRC-32" else (zlib.adler32, 1)
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                value = update(block, value)
        return value.to_bytes(4, "little").hex()  # recorded: in this byte order
    name = {"SHA1-160": "sha1", "MD5-128": "md5"}.get(algorithm)
    if name is None:
        return None
    with path.open("rb") as file:
        return _digest(file, name)


def _digest(file, name: str) -> str:
    digest = hashlib.new(name, usedforsecurity=False)
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


class RawFileStore(StatefulService):
    """omero.api.RawFileStore."""

    def __init__(self) -> None:
        self._file: Record | None = None
        self._path: Path | None = None
        self._handle: IO[bytes] | None = None
        self._changed = False

    def setFileId(self, call: Call, fileId: int) -> None:
        self.discard()
        file = call.store.get("OriginalFile", fileId)
        if file is None:
            raise errors.no_row(call.store.model["OriginalFile"].java, fileId)
        if not permissions.readable(call, file):  # recorded: the group of the call does not matter here
            raise errors.cannot_read(file.entity.java, fileId)
        if not permissions.downloadable(call, file):
            raise errors.security(f"Download is restricted for {file.entity.java}:Id_{fileId}")
        self._file, self._path, self._changed = file, call.core.repositories.path_of(file), False

    def getFileId(self, call: Call):
        from omero.rtypes import rlong

        return rlong(self._file.id) if self._file else None

    def _ready(self) -> Path:
        if self._path is None:
            raise errors.api_usage(
                "This RawFileStore has not been properly initialized.\n"
                "Please set the file id before executing any other methods."
            )
        return self._path

    def exists(self, call: Call) -> bool:
        return self._ready().is_file()

    def size(self, call: Call) -> int:
        path = self._ready()
        if self._handle is not None:
            self._handle.flush()
        return path.stat().st_size if path.is_file() else 0

    def read(self, call: Call, position: int, length: int) -> bytes:
        """Bytes from a position; beyond the end zeros, as the server does it."""
        path = self._ready()
        if position < 0:
            raise errors.api_usage("Negative position")
        if self._handle is None:
            try:
                self._handle = path.open("rb")
            except OSError as exc:
                raise errors.resource(f"Cannot read the file of OriginalFile:{self._file.id}: {exc.strerror}") from None
        self._handle.seek(position)
        return self._handle.read(length).ljust(length, b"\0")

    def _writable(self, call: Call):
        path = self._ready()
        if not call.flags(self._file).edit:
            raise errors.security("File not writeable!")
        if self._handle is None or not self._handle.writable():
            self.discard()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        return self._handle

    def write(self, call: Call, buf: bytes, position: int, length: int) -> None:
        if length > len(buf):
            raise errors.api_usage(f"newLimit > capacity: ({length} > {len(buf)})")
        handle = self._writable(call)
        call.core.knobs.write()
        handle.seek(position)
        handle.write(bytes(buf[:length]))
        self._changed = True

    def truncate(self, call: Call, length: int) -> bool:
        """Cut the file; answers whether it was longer."""
        if self.size(call) <= length:
            self._writable(call)
            return False
        self._writable(call).truncate(length)
        self._changed = True
        return True

    def save(self, call: Call):
        """Note size and, where the file has a hasher, the hash."""
        self._ready()
        if self._handle is not None:
            self._handle.flush()
        if self._path.is_file():
            call.change(self._file, "size", self._path.stat().st_size)
            call.change(self._file, "mtime", now_ms())
            hasher = self._file["hasher"]
            if hasher is not None:
                call.change(self._file, "hash", checksum(self._path, hasher["value"]))
        self._changed = False
        return call.wire(self._file)

    def finish(self, call: Call) -> None:
        if self._changed:
            self.save(call)

    def discard(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None
