"""Who may talk to whom: CURVE keys, made for one run, and a gate that lets exactly the given keys in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

from openhcs_core.streaming.endpoints import is_local
from openhcs_core.streaming.errors import SecurityError

_Z85 = re.compile(rb"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_ZAP = "inproc://zeromq.zap.01"
MAX_KNOCKED = 64
"""Keys that a gate has sent away and remembers, in case they are let in later."""


@dataclass(frozen=True)
class CurveKeys:
    """A pair of keys in Z85 (40 characters); the secret one is never shown.

    Attributes
    ----------
    public : str
    secret : bytes
    """

    public: str
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> CurveKeys:
        """A new pair, for one run."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret)


def public_key(text: str) -> bytes:
    """A public key as somebody gave it.

    Raises
    ------
    SecurityError
        If it is none.
    """
    key = text.strip().encode()
    if not _Z85.fullmatch(key):
        raise SecurityError("The key is not a public key: it has 64 hexadecimal digits; copy all of it.")
    return key


def key_text(key: str) -> str:
    """A public key for people: 64 hexadecimal digits, which no shell and no form changes."""
    return z85.decode(public_key(key)).hex()


def key_from_text(text: str) -> str:
    """A public key in Z85, of either form.

    Raises
    ------
    SecurityError
        If it is none.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return z85.encode(bytes.fromhex(text)).decode()
    return public_key(text).decode()


def require_keys(endpoint: str, keys: CurveKeys | None) -> None:
    """Refuse to use an endpoint outside this machine without encryption.

    Raises
    ------
    SecurityError
        If there are no keys and it is one.
    """
    if keys is None and not is_local(endpoint):
        raise SecurityError(f"{endpoint} is not on this machine: keys are needed, so that the images travel encrypted.")


def secure_server(listening: zmq.Socket, keys: CurveKeys) -> None:
    """Let only clients in that the `Gate` of the context allows."""
    listening.zap_domain = b"openhcs"
    listening.curve_server = True
    listening.curve_publickey = keys.public.encode()
    listening.curve_secretkey = keys.secret


def secure_client(connecting: zmq.Socket, keys: CurveKeys, server_key: str) -> None:
    """Talk only to the server that has a key."""
    connecting.curve_publickey = keys.public.encode()
    connecting.curve_secretkey = keys.secret
    connecting.curve_serverkey = public_key(server_key)


class Gate:
    """Decides about the clients of all secured sockets of a context (ZAP, RFC 27); exactly the allowed keys come in.

    Parameters
    ----------
    context : zmq.Context
    allowed : iterable of str
        Public keys.

    Attributes
    ----------
    socket : zmq.Socket
        To poll; `answer` when something has come. In one thread with the secured sockets.
    refused : int
        Clients that were sent away, and not let in since.
    """

    def __init__(self, context: zmq.Context, allowed: Iterable[str] = ()) -> None:
        self._allowed = {z85.decode(public_key(key)) for key in allowed}
        self._knocked: Counter[bytes] = Counter()
        self.refused = 0
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ZAP)

    def allow(self, key: str) -> None:
        """Let one more key in."""
        known = z85.decode(public_key(key))
        self._allowed.add(known)
        self.refused -= self._knocked.pop(known, 0)

    def answer(self) -> None:
        """Answer one request."""
        version, request, _domain, _address, _identity, mechanism, *credentials = self.socket.recv_multipart()
        welcome = mechanism == b"CURVE" and len(credentials) == 1 and credentials[0] in self._allowed
        if not welcome:
            self.refused += 1
            if len(credentials) == 1 and (credentials[0] in self._knocked or len(self._knocked) < MAX_KNOCKED):
                self._knocked[credentials[0]] += 1
        code, text = (b"200", b"OK") if welcome else (b"300", b"unknown key")  # it may knock again: keys come later
        self.socket.send_multipart([version, request, code, text, b"", b""])
