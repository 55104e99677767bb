"""What a server keeps secret: its CURVE key, and the one that sealed sessions are kept under."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.streaming.security import CurveKeys

KEY_FILE = "server.key"
LOCAL_FILE = "local.session"


@dataclass(frozen=True)
class ServerKeys:
    """The keys of a server; the same after every start.

    Attributes
    ----------
    curve : CurveKeys
        Its public key is what clients pin.
    """

    curve: CurveKeys
    _seal: str = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> ServerKeys:
        """Those in a folder; made there the first time, readable for this user only.

        Raises
        ------
        ExecutionError
            If they cannot be read or made, or others could read them.
        """
        from cryptography.fernet import Fernet

        def new() -> str:
            return json.dumps({"curve": zmq.curve_keypair()[1].decode(), "seal": Fernet.generate_key().decode()})

        path = folder / KEY_FILE
        try:
            table = json.loads(_kept(path, new))
            secret = table["curve"].encode()
            Fernet(table["seal"])
            return cls(CurveKeys(zmq.curve_public(secret).decode(), secret), table["seal"])
        except (ValueError, KeyError, TypeError, AttributeError, zmq.ZMQError) as error:
            raise ExecutionError(
                f"{path} is damaged. Remove it, and a new key is made, which clients have to be told."
            ) from error

    def seal(self, text: str) -> bytes:
        """A text that only this server can read again."""
        from cryptography.fernet import Fernet

        return Fernet(self._seal).encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str | None:
        """What `seal` was given; None if it was not sealed by this server."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._seal).decrypt(sealed).decode()
        except InvalidToken:
            return None


def local_session(folder: Path) -> str:
    """What stands for a session with a server that has no OMERO: who can read it is the user of the server.

    Raises
    ------
    ExecutionError
        If it cannot be read or made.
    """
    return _kept(folder / LOCAL_FILE, lambda: secrets.token_hex(32)).strip()


def _kept(path: Path, new: Callable[[], str]) -> str:
    """Text of a file for this user only, which is made, whole, if there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(new())
                file.flush()
                os.fsync(descriptor)
            try:
                os.link(made, path)  # of two servers that start at once, the first counts
            except FileExistsError:
                pass
            finally:
                made.unlink()
        if path.stat().st_mode & 0o077:
            raise ExecutionError(f"{path} can be read by others. Run: chmod 600 {path}")
        return path.read_text()
    except OSError as error:
        raise ExecutionError(f"{path} cannot be read or made: {error.strerror}.") from error
