"""`OmeroWeb`: the real OMERO.web in a process of its own, in front of an embedded or any other OMERO.server."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

START_SECONDS = 60
STOP_SECONDS = 10


class Address(Protocol):
    """What is needed to know of an OMERO.server."""

    host: str
    port: int


class OmeroWeb:
    """OMERO.web, as installed by ``pip install omero-web``, for one OMERO.server.

    Parameters
    ----------
    server : EmbeddedOmero or anything with ``host`` and ``port``
        Where users log in.
    host : str
        Address to listen on. Anything but a loopback address opens OMERO.web to the network.
    port : int
        0 picks a free one.
    settings : mapping, optional
        More of OMERO.web's configuration, such as ``{"omero.web.apps": ["my_app"]}``; lists, dicts, numbers and
        truth values are written as JSON.
    threads : int
        How many requests are answered at the same time.

    Attributes
    ----------
    url : str
        ``http://host:port`` without a slash at the end, known once started.
    log : Path
        Log of OMERO.web, there as long as it runs.

    Examples
    --------
    >>> with EmbeddedOmero() as server, OmeroWeb(server) as web:
    ...     status = urllib.request.urlopen(web.url + "/webclient/login/").status
    >>> status
    200
    """

    def __init__(
        self,
        server: Address,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: Mapping[str, Any] | None = None,
        threads: int = 4,
    ) -> None:
        self.server, self.host, self.port, self.threads = server, host, port, threads
        self.settings = dict(settings or {})
        self._home: Path | None = None
        self._process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        if self._home is None:
            raise RuntimeError("OMERO.web has not been started; use it as a context manager or call start().")
        return self._home / "var" / "log" / "OMEROweb.log"

    def start(self) -> OmeroWeb:
        """Start the process; returns when the login page answers.

        Raises
        ------
        OSError
            If the port is taken.
        RuntimeError
            If OMERO.web is not installed, or does not start; with the end of what it said.
        """
        self._home = Path(tempfile.mkdtemp(prefix="omero-web-"))
        try:
            self._configure(self._home)
            self._process = self._launch(self._home)
            self._wait(time.monotonic() + START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and remove its sessions, logs and configuration."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # waits, unlike SIGTERM, for no open connections
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def __enter__(self) -> OmeroWeb:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # -- how

    def _configure(self, home: Path) -> None:
        """Write the configuration as ``omero config set`` would."""
        from omero.config import ConfigXml

        for folder in ("etc/grid", "var/log", "var/tmp"):
            (home / folder).mkdir(parents=True)
        config = ConfigXml(str(home / "etc" / "grid" / "config.xml"))
        server = "127.0.0.1" if self.server.host == "0.0.0.0" else self.server.host
        try:
            values = {
                "omero.web.server_list": [[server, self.server.port, "embedded"]],
                "omero.web.static_root": str(self._static()),
                "omero.web.upgrades.url": "",  # asks nobody in the internet for a newer version
                **self.settings,
            }
            for name, value in values.items():
                config[name] = value if isinstance(value, str) else json.dumps(value)
        finally:
            config.close()

    @staticmethod
    def _static() -> Path:
        """Where OMERO.web finds tables of its own among static files, which nobody has collected."""
        found = importlib.util.find_spec("omeroweb")
        if found is None or found.origin is None:
            raise RuntimeError("OMERO.web is not installed: pip install 'openhcs-omero[web]'")
        return Path(found.origin).parent / "webgateway" / "static"

    def _launch(self, home: Path) -> subprocess.Popen:
        environment = {
            **os.environ,
            "OMERODIR": str(home),
            "DJANGO_SETTINGS_MODULE": "omeroweb.settings",
            # Sessions and uploads of Django, temporary files of omero-py, the control socket of gunicorn.
            **dict.fromkeys(("TMPDIR", "OMERO_TMPDIR", "XDG_RUNTIME_DIR"), str(home / "var" / "tmp")),
        }
        # The process inherits the socket: the port cannot be lost to somebody else, and requests which come before
        # OMERO.web has been loaded wait for it.
        with socket.create_server((self.host, self.port)) as listening, open(home / "start.log", "wb") as said:
            self.port = listening.getsockname()[1]
            command = [
                *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listening.fileno()}"),
                *("--workers", "1", "--threads", str(self.threads), "--timeout", "0"),
                *("--graceful-timeout", "2", f"{__name__}:application()"),
            ]
            return subprocess.Popen(
                command, env=environment, pass_fds=[listening.fileno()], stdout=said, stderr=subprocess.STDOUT
            )

    def _wait(self, limit: float) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                with direct.open(self.url + "/webclient/login/", timeout=limit - time.monotonic()):
                    return
            except urllib.error.HTTPError as exc:
                with exc:
                    raise RuntimeError(f"OMERO.web answers with {exc.code}. {self._said()}") from exc
            except OSError as exc:
                if self._process.poll() is not None:
                    raise RuntimeError(f"OMERO.web has ended with {self._process.returncode}. {self._said()}") from exc
                if time.monotonic() > limit - 1:
                    raise RuntimeError(f"OMERO.web does not answer: {exc}. {self._said()}") from exc
                time.sleep(0.05)

    def _said(self) -> str:
        """The end of what the process wrote."""
        files = [file for file in (self._home / "start.log", self.log) if file.exists()]
        lines = [line for file in files for line in file.read_text(errors="replace").splitlines()[-25:]]
        return "\n".join(["It said last:", *lines])


def application():
    """The WSGI application for the process: OMERO.web, and its static files without collecting them first."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from omeroweb.wsgi import application
    from pipeline.conf import settings

    settings["PIPELINE_ENABLED"] = False  # every script and style sheet on its own: nobody has packed them
    return StaticFilesHandler(application)
