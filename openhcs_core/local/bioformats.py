"""Images in any format that Bio-Formats reads, where Java and Bio-Formats are set up."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.local.errors import LocalError
from openhcs_core.local.image import AXES, LocalImage, reason
from openhcs_core.local.ome import ome_metadata
from openhcs_core.local.samples import described_channels
from openhcs_core.settings import Settings

_log = logging.getLogger(__name__)

_TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
"""Pixel types in the order of their numbers in Bio-Formats."""

PIECE_BYTES = 64 << 20
"""Most that is asked of Bio-Formats at a time; an array of Java holds no more than 2 GB."""

_starting = threading.Lock()


def open_bioformats(path: Path, axes: str | None, series: int, settings: Settings) -> LocalImage:
    """Open an image; see `openhcs_core.local.image.open_image`.

    Channels that are stored together, such as red, green and blue, become channels of their own.

    Parameters
    ----------
    path : Path
    axes : str, optional
        Cannot be chosen here: Bio-Formats knows them.
    series : int
    settings : Settings
        Its `bioformats_jar` and `java_home` say what is used.

    Raises
    ------
    LocalError
        If Bio-Formats is not set up, or does not read the file.
    """
    if axes is not None:
        raise LocalError(f"{path}: its axes are named by its format. Leave out --axes.")
    if settings.bioformats_jar is None:
        raise LocalError(
            f"{path} is neither TIFF, OME-Zarr nor .npy. Other formats need Bio-Formats: set bioformats_jar in "
            "openhcs.toml."
        )
    voxels = BioFormatsVoxels(path, series, settings)
    try:
        metadata, statements = ome_metadata(voxels.xml, series)
        channels, unused = described_channels(metadata.channels, voxels.shape[1], voxels.samples)
        metadata = replace(metadata, name=metadata.name or path.name.split(".")[0], channels=channels)
    except BaseException:
        voxels.close()
        raise
    chunk = (1, voxels.rows)
    return LocalImage(
        voxels.shape, voxels.dtype, voxels.read, metadata, voxels.files, chunk, statements + unused, close=voxels.close
    )


class BioFormatsVoxels:
    """Voxels of one image, read in Java.

    Parameters
    ----------
    path : Path
    series : int
    settings : Settings

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : dtype
        Of the byte order in the file.
    samples : int
        Channels that are stored together.
    rows : int
        Of pixels that are best read together.
    files : list of Path
        All that the image is read from.
    xml : str
        What the file says of itself, as OME-XML.

    Raises
    ------
    LocalError
    """

    def __init__(self, path: Path, series: int, settings: Settings) -> None:
        java = _java(settings)
        self._reader = java.ChannelSeparator(java.ChannelFiller(java.ImageReader()))
        try:
            with _java_errors(f"{path} cannot be read"):
                service = java.ServiceFactory().getInstance(java.OMEXMLService)
                described = service.createOMEXMLMetadata()
                self._reader.setMetadataStore(described)
                self._reader.setFlattenedResolutions(False)  # smaller versions are no images of their own
                self._reader.setId(str(path))
                if not 0 <= series < self._reader.getSeriesCount():
                    raise LocalError(f"{path} has no image {series + 1}; it has {self._reader.getSeriesCount()}.")
                self._reader.setSeries(series)
                kind = int(self._reader.getPixelType())
                if kind >= len(_TYPES):
                    raise LocalError(f"{path} has pixels of type {java.FormatTools.getPixelTypeString(kind)}: unknown.")
                self.dtype = np.dtype(("<" if self._reader.isLittleEndian() else ">") + _TYPES[kind])
                t, c, z, y, x = (int(getattr(self._reader, f"getSize{axis}")()) for axis in AXES)
                self.shape = (t, c, z, y, x)
                self.samples = int(self._reader.getReader().getRGBChannelCount())
                self.rows = min(y, max(1, int(self._reader.getOptimalTileHeight())))
                self.files = [Path(str(file)) for file in self._reader.getUsedFiles()]
                self.xml = str(service.getOMEXML(described))
        except BaseException:
            self.close()
            raise

    def read(self, t: int, c: int, z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        """Voxels (z1 - z0, y1 - y0, X); see `LocalImage`."""
        slab = np.empty((z1 - z0, y1 - y0, self.shape[4]), self.dtype)
        rows = max(1, PIECE_BYTES // (self.shape[4] * self.dtype.itemsize))
        for z in range(z0, z1):
            with _java_errors(f"The file cannot be read at T{t + 1} C{c + 1} Z{z + 1}"):
                plane = self._reader.getIndex(z, c, t)
                for y in range(y0, y1, rows):
                    part = slab[z - z0, y - y0 : y - y0 + rows]
                    stored = self._reader.openBytes(plane, 0, y, part.shape[1], part.shape[0])
                    part[:] = np.frombuffer(memoryview(stored), self.dtype).reshape(part.shape)
        return slab

    def close(self) -> None:
        """Close all files."""
        with contextlib.suppress(LocalError), _java_errors("closing"):
            self._reader.close()


class _Java:
    """The classes that are used."""

    def __init__(self, jpype: Any) -> None:
        for name in ("loci.formats.ImageReader", "loci.formats.ChannelFiller", "loci.formats.ChannelSeparator",
                     "loci.formats.FormatTools", "loci.formats.services.OMEXMLService",
                     "loci.common.services.ServiceFactory"):  # fmt: skip
            setattr(self, name.rpartition(".")[2], jpype.JClass(name))


def _java(settings: Settings) -> Any:
    """The classes of Bio-Formats, in the one Java of this process, which is started unless it runs.

    Raises
    ------
    LocalError
        If something is missing; the message says what.
    """
    jar = settings.bioformats_jar
    assert jar is not None
    jars = sorted(map(str, jar.glob("*.jar"))) if jar.is_dir() else [str(jar)]
    if not jars or not all(map(os.path.isfile, jars)):
        raise LocalError(f"{jar}, which bioformats_jar names in openhcs.toml, is no jar and no folder of jars.")
    try:
        import jpype
    except ImportError as error:
        raise LocalError(
            'Bio-Formats needs the package jpype1. Install it: pip install "openhcs-omero[bioformats]".'
        ) from error
    with _starting:
        try:
            if not jpype.isJVMStarted():
                _start(jpype, jars, settings)
            return _Java(jpype)
        except Exception as error:  # whatever a JVM says that does not start
            raise LocalError(
                f"Bio-Formats cannot be started: {reason(error)}. Check java_home and bioformats_jar in openhcs.toml."
            ) from error


def _start(jpype: Any, jars: list[str], settings: Settings) -> None:
    library = None
    if settings.java_home is not None:
        found = sorted(settings.java_home.glob("**/libjvm.so"), key=lambda file: "server" not in file.parts)
        if not found:
            raise FileNotFoundError(f"there is no libjvm.so below {settings.java_home}")
        library = str(found[0])
    # Without -Xrs Java would end the process at signals that are handled in Python. The others silence it.
    options = ["-Xrs", "-Djava.awt.headless=true", "-XX:+IgnoreUnrecognizedVMOptions"]
    options.append("--enable-native-access=ALL-UNNAMED")
    jpype.startJVM(library or jpype.getDefaultJVMPath(), *options, classpath=jars, convertStrings=False)
    # It would print what it does, even where nothing is wrong.
    jpype.JClass("loci.common.DebugTools").setRootLevel("OFF")


@contextlib.contextmanager
def _java_errors(what: str) -> Iterator[None]:
    """Turn exceptions of Java into LocalError."""
    import jpype

    try:
        yield
    except jpype.JException as error:
        said = str(error.getMessage() or error.getClass().getSimpleName()).splitlines()[0].rstrip(".")
        raise LocalError(f"{what}: {said}.") from error
