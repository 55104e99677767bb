"""Imaris files (.ims) from arrays and metadata; knows nothing of OMERO."""

from openhcs_core.imaris.array import write_ims
from openhcs_core.imaris.errors import ImsCancelled, ImsError, ImsWriteError
from openhcs_core.imaris.metadata import ImsChannel, ImsMetadata
from openhcs_core.imaris.pixeltypes import PixelConversion, pixel_conversion
from openhcs_core.imaris.preview import preview_png
from openhcs_core.imaris.verify import check_ims
from openhcs_core.imaris.writer import ImsWriter

__all__ = [
    "ImsCancelled",
    "ImsChannel",
    "ImsError",
    "ImsMetadata",
    "ImsWriteError",
    "ImsWriter",
    "PixelConversion",
    "check_ims",
    "pixel_conversion",
    "preview_png",
    "write_ims",
]
