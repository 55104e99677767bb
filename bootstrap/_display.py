"""A screen for windows: Xvfb, an X server without one; and what it, napari and ImageJ need of the system.

    python -m bootstrap._display

installs what is missing where it may (root on Debian), and otherwise says what to install.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGES = (
    *("xvfb", "xauth", "libgl1", "libegl1", "libglib2.0-0", "libdbus-1-3", "libfontconfig1", "libx11-xcb1"),
    *("libxkbcommon-x11-0", "libxcb-cursor0", "libxcb-icccm4", "libxcb-image0", "libxcb-keysyms1", "libxcb-randr0"),
    *("libxcb-render-util0", "libxcb-shape0", "libxcb-xkb1", "libxi6", "libxtst6", "libxrender1", "libxext6"),
    *("fonts-dejavu-core", "libij-java", "iproute2"),
)
"""Packages of Debian that napari, ImageJ and a screen need, and hosts of a network in tests."""
APT = "sudo apt-get install " + " ".join(PACKAGES)
_LIBRARIES = ("libGL.so.1", "libEGL.so.1", "libXi.so.6", "libXtst.so.6", "libXrender.so.1", "libXext.so.6")
"""Loaded by name while the programs run, so that nothing links to them."""


class NoDisplay(Exception):
    """There is no screen and none can be made; the message says what to install."""


@contextmanager
def xvfb(size: str = "1600x1000x24") -> Iterator[str]:
    """Context manager: the name of the display of an Xvfb of its own.

    Raises
    ------
    NoDisplay
        If it is not installed or does not start.
    """
    command = shutil.which("Xvfb")
    if command is None:
        raise NoDisplay(f"Xvfb is not installed. Debian, Ubuntu: {APT}")
    reading, writing = os.pipe()
    arguments = [command, "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
    try:
        server = subprocess.Popen(
            arguments, pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        if not number:
            assert server.stderr is not None
            raise NoDisplay(f"Xvfb does not start: {server.stderr.read().decode(errors='replace').strip()}")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()
        if server.stderr is not None:
            server.stderr.close()


def screenshot(display: str, path: Path | None = None) -> Image:
    """What is on the screen of a display, as a picture in RGB; saved, too, if a path is given."""
    from PIL import ImageGrab

    picture = ImageGrab.grab(xdisplay=display).convert("RGB")
    if path is not None:
        picture.save(path)
    return picture


def missing() -> list[str]:
    """What windows lack on this machine, each with a reason; to be asked in the environment that shows them."""
    from openhcs_core.plugins import viewers

    found = [] if shutil.which("Xvfb") else ["Xvfb"]
    for library in _LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            found.append(library)
    found += [f"what Qt needs: {line}" for line in _unresolved()]
    return found + [f"{name}: {reason}" for name, spec in viewers().items() if (reason := spec.missing())]


def _lacking() -> list[str]:
    """What the tests lack: windows, and hosts of a network."""
    return missing() + ([] if shutil.which("ip") else ["ip, of iproute2"])


def _unresolved() -> list[str]:
    """Libraries that Qt's platform plugin for X does not find; it itself blames another one."""
    from qtpy import API_NAME, QtCore

    folder = Path(QtCore.QLibraryInfo.path(QtCore.QLibraryInfo.LibraryPath.PluginsPath))
    listed = subprocess.run(["ldd", folder / "platforms" / "libqxcb.so"], capture_output=True, text=True)
    if listed.returncode:
        return [f"libqxcb.so of {API_NAME}"]
    return [line.split()[0] for line in listed.stdout.splitlines() if "not found" in line]


def main() -> int:
    """Make the tests possible; return the exit status."""
    lacking = _lacking()
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        print(
            "[setup] Installing packages of the system: for windows of napari and ImageJ, and networks ...", flush=True
        )
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *PACKAGES]):
            result = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True)
            if result.returncode:
                print(result.stdout[-2000:] + result.stderr[-2000:], file=sys.stderr)
                break
        lacking = _lacking()
    if not lacking:
        return 0
    names = "".join(f"\n  - {item}" for item in lacking)
    print(
        f"[setup] This machine lacks what the tests need, most of it for windows of napari and ImageJ:{names}\n"
        f"Debian, Ubuntu:  {APT}\nThen run the same command again.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
