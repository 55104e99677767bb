"""Hosts on one machine: network namespaces, joined by a switch. For root and for ordinary users alike.

>>> with hosts("server", "desk") as (server, desk):
...     program = server.start(["python3", "-m", "http.server", "--bind", server.address])

Each host has a name, an address, a loopback and shared memory of its own. Files are the same for all, and so are the
sockets among them. Whatever still runs on a host is killed in the end. If the process that made it dies, its programs
die with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE_S = 10.0
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # not in that of ordinary users
TOOLS = ("hostname", "ip", "mount", "nsenter", "setpriv", "unshare")


class NoHosts(Exception):
    """This machine cannot have them; the message says what to do."""


class Host:
    """One of them.

    Parameters
    ----------
    name, address : str
    before : sequence of str
        What to write before a command that makes its namespaces.
    switch : Host, optional
        What it is to be joined to.

    Attributes
    ----------
    name, address : str
    enter : list of str
        What to write before a command to run it there.
    """

    def __init__(self, name: str, address: str, before: Sequence[str], switch: Host | None = None) -> None:
        self.name, self.address, self._switch = name, address, switch
        self._started: list[subprocess.Popen[Any]] = []
        # The namespaces last until the standard input of this program ends, at the latest when this process does.
        start = 'hostname "$1" && mount -t tmpfs tmpfs /dev/shm && echo there && exec cat'
        spaces = ["--net", "--uts", "--ipc", "--mount"]
        self._anchor = subprocess.Popen(
            [*before, "unshare", *spaces, "sh", "-c", start, "sh", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._anchor.stdout is not None
        if not self._anchor.stdout.readline():
            raise NoHosts(
                f"There is no host to be had: {self._anchor.communicate()[1].strip()}. As root: sysctl "
                "-w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 (what there is "
                "of these)."
            )
        self.number = self._anchor.pid
        self.enter = ["nsenter", "--target", str(self.number), "--user", "--preserve-credentials", "--wd=.", *spaces]
        self._network = os.readlink(f"/proc/{self.number}/ns/net")

    def start(self, command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
        """Start a program there; options as of `subprocess.Popen`. It ends with the thread that calls this."""
        command = [*self.enter, "setpriv", "--pdeathsig", "KILL", *command]
        self._started.append(subprocess.Popen(command, **options))
        return self._started[-1]

    def ip(self, *arguments: str) -> None:
        """Run ``ip`` there."""
        command = [*self.enter, shutil.which("ip", path=PATH) or "ip", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode:
            raise NoHosts(f"{' '.join(command)}: {done.stderr.strip()}")

    def programs(self) -> Iterator[int]:
        """Ids of the processes there."""
        for entry in Path("/proc").iterdir():
            with suppress(OSError):  # it has ended, or is somebody else's
                if entry.name.isdecimal() and os.readlink(entry / "ns" / "net") == self._network:
                    yield int(entry.name)

    def plug_in(self) -> None:
        """Join it to the switch."""
        assert self._switch is not None
        self._switch.ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", str(self.number))
        self._switch.ip("link", "set", self.name, "master", "switch", "up")
        self.ip("address", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        self.ip("link", "set", "lo", "up")

    def unplug(self) -> None:
        """Pull its cable: nothing gets there or comes from there any more, and nobody is told."""
        assert self._switch is not None
        self._switch.ip("link", "set", self.name, "down")

    def close(self) -> None:
        """Kill what runs there."""
        limit = time.monotonic() + PATIENCE_S
        while left := set(self.programs()) - {self.number}:
            if time.monotonic() > limit:
                raise NoHosts(f"Processes {left} of {self.name} cannot be killed.")
            for program in left:
                with suppress(ProcessLookupError):
                    os.kill(program, signal.SIGKILL)
            time.sleep(0.02)
        for process in (*self._started, self._anchor):
            for pipe in (process.stdin, process.stdout, process.stderr):
                with suppress(BrokenPipeError):  # of what was still to be written
                    if pipe is not None:
                        pipe.close()
            process.wait(PATIENCE_S)


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Context manager: hosts with these names, of at most 15 letters.

    Raises
    ------
    NoHosts
        If this machine cannot have them.
    """
    if absent := [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]:
        raise NoHosts(f"{', '.join(absent)} cannot be found. sudo apt-get install iproute2 util-linux")
    with ExitStack() as stack:
        switch = Host("switch", "", ["unshare", "--map-root-user"])
        stack.callback(switch.close)
        switch.ip("link", "add", "switch", "type", "bridge")
        switch.ip("link", "set", "switch", "up")
        made = []
        for number, name in enumerate(names, 1):
            made.append(Host(name, f"10.77.0.{number}", switch.enter, switch))
            stack.callback(made[-1].close)
            made[-1].plug_in()
        yield made
