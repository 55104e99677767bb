"""What OME-XML says of an image."""

from __future__ import annotations

from datetime import datetime, timedelta
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from openhcs_core.imaris import ImsChannel, ImsMetadata
from openhcs_core.imaris.metadata import UNKNOWN_START
from openhcs_core.local.units import micrometres, seconds


def ome_metadata(xml: str, number: int) -> tuple[ImsMetadata, list[str]]:
    """Metadata of one image.

    Parameters
    ----------
    xml : str
    number : int
        Of the image, from 0.

    Returns
    -------
    metadata : ImsMetadata
        Channels with several samples, such as red, green and blue, are described once.
    statements : list of str
        What could not be taken over.
    """
    statements: list[str] = []
    image = _children(ElementTree.fromstring(xml), "Image")[number]
    pixels = _children(image, "Pixels")[0]
    z, y, x = (_length(pixels, f"PhysicalSize{axis}", statements) for axis in "ZYX")
    planes = {
        int(plane.get("TheT", 0)): plane
        for plane in _children(pixels, "Plane")
        if plane.get("TheZ") == "0" and plane.get("TheC") == "0"
    }
    start = _date(image)
    increment = _number(pixels.get("TimeIncrement"))
    first = planes.get(0)
    origin = [first is not None and _length(first, f"Position{axis}", statements) for axis in "ZYX"]
    times = [_time(planes[t], "DeltaT") if t in planes else None for t in range(int(pixels.get("SizeT", 1)))]
    known = [time for time in times if time is not None]
    return ImsMetadata(
        name=image.get("Name", ""),
        description="".join(child.text or "" for child in _children(image, "Description")),
        voxel_size_um=(z, y, x),
        origin_um=(origin[0] or 0.0, origin[1] or 0.0, origin[2] or 0.0),
        channels=tuple(map(_channel, _children(pixels, "Channel"))),
        times=tuple((start or UNKNOWN_START) + timedelta(seconds=time) for time in known)
        if len(known) == len(times) and (start or len(times) > 1)
        else None,
        time_increment_s=None if increment is None else seconds(increment, pixels.get("TimeIncrementUnit", "s")),
        acquisition_date=start,
    ), statements


def _children(element: Element, name: str) -> list[Element]:
    """Children of a name, whatever version of the schema they belong to."""
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _channel(channel: Element) -> ImsChannel:
    color = None
    if channel.get("Color"):
        packed = int(channel.get("Color", "-1")) & 0xFFFFFFFF  # RGBA as a signed number
        color = ((packed >> 24) / 255, (packed >> 16 & 255) / 255, (packed >> 8 & 255) / 255)
    waves = [_number(channel.get(f"{kind}Wavelength")) for kind in ("Emission", "Excitation")]
    units = [channel.get(f"{kind}WavelengthUnit", "nm") for kind in ("Emission", "Excitation")]
    lengths = [None if wave is None else micrometres(wave, unit) for wave, unit in zip(waves, units, strict=True)]
    emission, excitation = (None if length is None else length * 1000 for length in lengths)
    return ImsChannel(channel.get("Name", ""), color, None, emission, excitation)


def _length(element: Element, name: str, statements: list[str]) -> float | None:
    value, unit = _number(element.get(name)), element.get(f"{name}Unit", "µm")
    length = None if value is None else micrometres(value, unit)
    if value is not None and length is None:
        statements.append(f"{name} of {value:g} {unit} is no measure: ignored")
    return length


def _time(element: Element, name: str) -> float | None:
    value = _number(element.get(name))
    return None if value is None else seconds(value, element.get(f"{name}Unit", "s"))


def _date(image: Element) -> datetime | None:
    text = "".join(child.text or "" for child in _children(image, "AcquisitionDate")).strip()
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
