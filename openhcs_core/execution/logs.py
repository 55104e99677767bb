"""Logs of a server: its own, and one for each execution. A full disk costs lines of the log, and nothing else."""

from __future__ import annotations

import codecs
import contextlib
import logging
import logging.handlers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

SERVER_LOG = "execution_server.log"
SERVER_LOG_BYTES, SERVER_LOGS = 10 << 20, 5
PART_BYTES = 32 << 10
"""Of a log in one answer: what JSON makes of it has to fit into a message, whatever the characters."""
LONGEST_LINE = 64 << 10
HIDDEN = b"[hidden]"

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def open_server_log(folder: Path) -> logging.Handler:
    """A handler that writes the log of the server: files of limited size, readable for this user only.

    What cannot be written is counted, and told as soon as there is room again.
    """
    handler = _ServerLog(
        folder / SERVER_LOG, maxBytes=SERVER_LOG_BYTES, backupCount=SERVER_LOGS, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler


class _ServerLog(logging.handlers.RotatingFileHandler):
    lost = 0

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding=self.encoding, errors="replace", opener=_private)

    def emit(self, record: logging.LogRecord) -> None:
        lost = self.lost
        super().emit(record)
        if lost and self.lost == lost:
            self.lost = 0
            told = f"{lost} lines could not be written to this log."
            super().emit(logging.LogRecord(__name__, logging.WARNING, __file__, 0, told, None, None))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A line that could not be written; what is half written is given up with the file."""
        self.lost += 1
        stream, self.stream = self.stream, None
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def hidden(data: bytes, secrets: Sequence[str]) -> bytes:
    """The same without what is secret."""
    for secret in secrets:
        if secret:
            data = data.replace(secret.encode(), HIDDEN)
    return data


class ExecutionLog:
    """The log of one execution, of limited size, to which every attempt adds. Never raises once it is open.

    Parameters
    ----------
    path : Path
    secrets : sequence of str
        What must not get into it.
    limit : int
        Bytes; what is beyond is counted, and said at the end.
    """

    def __init__(self, path: Path, secrets: Sequence[str] = (), limit: int = 20 << 20) -> None:
        self._path, self._limit = path, limit
        self._secrets = secrets
        self._rest = b""
        self._lost = self._size = 0
        self._file: IO[bytes] | None = None
        self._opened()

    def write(self, data: bytes) -> None:
        """Add what the process has written; whole lines, so that nothing secret is missed between two parts."""
        lines, newline, self._rest = (self._rest + data).rpartition(b"\n")
        self._add(lines + newline)
        if len(self._rest) > LONGEST_LINE:
            line = hidden(self._rest, self._secrets)
            cut = max(0, len(line) - max(map(len, self._secrets), default=0))  # one may have begun there
            self._add(line[:cut])
            self._rest = line[cut:]

    def say(self, line: str) -> None:
        """Add a line of the server's own."""
        self.write((b"\n" if self._rest else b"") + f"--- {line}\n".encode())

    def close(self) -> None:
        """Add what is left, and what has been left out."""
        self._add(self._rest + (b"\n" if self._rest else b""))
        self._rest = b""
        if self._lost:
            self._limit += 100
            self._add(f"--- {self._lost} bytes more are not in this log.\n".encode())
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _opened(self) -> None:
        try:
            self._file = open(self._path, "ab", buffering=0, opener=_private)  # noqa: SIM115
            self._size = self._file.tell()
        except OSError:
            self._file = None

    def _add(self, data: bytes) -> None:
        data = hidden(data, self._secrets)
        if self._file is None and data:
            self._opened()
        fits = data[: max(0, self._limit - self._size)]
        written = 0
        if fits and self._file is not None:
            with contextlib.suppress(OSError):
                written = self._file.write(fits)
        self._size += written
        self._lost += len(data) - written


def read_log(path: Path, offset: int | None = None) -> dict[str, Any]:
    """A part of a log.

    Parameters
    ----------
    path : Path
    offset : int, optional
        Byte to begin at; the last part unless given.

    Returns
    -------
    dict
        ``text``; ``offset`` and ``next``: the bytes where it begins and where the next part does; ``size``: of the log
        now. The text is empty at the end of the log, and if there is none.
    """
    try:
        with open(path, "rb", opener=_private) as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - PART_BYTES) if offset is None else min(offset, size)
            file.seek(begin)
            data = file.read(PART_BYTES)
    except OSError:
        return {"text": "", "offset": 0, "next": 0, "size": 0}
    if offset is None and begin:  # from the beginning of a character
        skipped = next((place for place, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
        begin, data = begin + skipped, data[skipped:]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    cut = len(decoder.getstate()[0])  # of a character whose end is in the next part
    if cut == len(data):
        text, cut = decoder.decode(b"", final=True), 0
    return {"text": text, "offset": begin, "next": begin + len(data) - cut, "size": size}
