"""What OMERO knows about an image, in the terms of an Imaris file."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import omero
from omero.gateway import BlitzGateway, BlitzObjectWrapper, ImageWrapper
from omero.model import LengthI, TimeI
from omero.model.enums import UnitsLength, UnitsTime
from omero.rtypes import rint
from omero.sys import ParametersI

from openhcs_core.imaris import ImsChannel, ImsMetadata
from openhcs_core.imaris.metadata import UNKNOWN_START

logger = logging.getLogger(__name__)

WEB_HOST = "omero.client.web.host"
"""Setting of the server: where its OMERO.web is."""


@dataclass(frozen=True)
class Crop:
    """The part of an image that is wanted; all numbers count from 0.

    Attributes
    ----------
    channels : sequence of int
        In the wanted order.
    z, t : range
        Sections and time points, in steps of one.
    """

    channels: Sequence[int]
    z: range
    t: range


@dataclass(frozen=True)
class ImageMetadata:
    """Metadata of the wanted part of an image.

    Attributes
    ----------
    ims : ImsMetadata
    value_range : (low, high) or None
        Extremes of the wanted channels, where OMERO knows them.
    statements : list of str
        What could not be taken over. What is simply unknown the writer says itself.
    """

    ims: ImsMetadata
    value_range: tuple[float, float] | None
    statements: list[str]


def image_metadata(conn: BlitzGateway, image: ImageWrapper, crop: Crop) -> ImageMetadata:
    """Calibration in µm, channels as the user sees them in OMERO, times and position.

    Colours and windows are those of the user's own rendering settings, else of the owner's, else of the
    channels themselves.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
    crop : Crop
    """
    statements: list[str] = []
    pixels = image.getPrimaryPixels()._obj
    z_um, y_um, x_um = (
        micrometres(size, label, statements)
        for label, size in (
            ("z step", pixels.physicalSizeZ),
            ("pixel height", pixels.physicalSizeY),
            ("pixel width", pixels.physicalSizeX),
        )
    )
    planes = _first_planes(conn, pixels.id.val, crop)
    increment = _seconds(pixels.timeIncrement)
    start = _acquisition_date(image, statements)
    times = _times(planes, start, crop, statements)
    if times is None and start is not None:
        start = _after(start, (usable(increment) or 0.0) * crop.t[0]) or start
    channels = _channels(conn, pixels.id.val)
    bindings = _bindings(conn, pixels.id.val, image.getDetails().getOwner().getId()) or [None] * len(channels)
    ims = ImsMetadata(
        name=image.getName(),
        description=image.getDescription() or "",
        voxel_size_um=(z_um, y_um, x_um),
        origin_um=_origin(planes.get(crop.t[0]), crop, z_um, statements),
        channels=tuple(_channel(channels[c], bindings[c], c, statements) for c in crop.channels),
        times=times,
        time_increment_s=increment,
        acquisition_date=start,
        sections={"OMERO": traced_to(conn, image) | {"Pixel type": pixels.pixelsType.value.val}},
    )
    return ImageMetadata(ims, _value_range([channels[c] for c in crop.channels]), statements)


def channel_names(conn: BlitzGateway, image: ImageWrapper) -> list[str]:
    """Names of the channels of an image; empty where there is none."""
    return [_name(channel) for channel in _channels(conn, image.getPixelsId())]


def traced_to(conn: BlitzGateway, target: BlitzObjectWrapper) -> dict[str, str]:
    """Parameters of a file that lead back to what it was made from: id, server, page in OMERO.web, group, owner.

    Parameters
    ----------
    conn : BlitzGateway
    target : BlitzObjectWrapper
        An image, well or plate.
    """
    kind, number = target.OMERO_CLASS, target.getId()
    found = {
        kind: f"{kind}:{number}",
        "Server": conn.c.getProperty("omero.host"),
        "Group": target.getDetails().getGroup().getName(),
        "Owner": target.getOwnerOmeName(),
    }
    try:
        host = conn.getConfigService().getConfigValue(WEB_HOST)
    except omero.SecurityViolation:
        logger.info("The server does not tell %s", WEB_HOST)
        host = ""
    if host:
        found["URL"] = f"{host.strip().rstrip('/')}/webclient/?show={kind.lower()}-{number}"
    return found


def usable(value: float | None) -> float | None:
    """A size or duration if it can be one: positive and finite."""
    return value if value is not None and 0 < value < math.inf else None


def micrometres(length: Any, label: str, statements: list[str]) -> float | None:
    """A length of any unit in µm; None where it is unknown or its unit is no measure.

    Parameters
    ----------
    length : omero.model.Length or None
    label : str
        What it is the length of, for the statement.
    statements : list of str
        Gets one if the unit is no measure, such as pixel or reference frame.
    """
    if length is None:
        return None
    try:
        return float(LengthI(length, UnitsLength.MICROMETER).getValue())
    except Exception:  # omero-py raises a bare Exception for units that no factor leads to
        statements.append(f"{label} of {length.getValue():g} {length.getUnit().name.lower()} is no measure: ignored")
        return None


def _seconds(time: Any) -> float | None:
    return None if time is None else float(TimeI(time, UnitsTime.SECOND).getValue())


def _first_planes(conn: BlitzGateway, pixels_id: int, crop: Crop) -> dict[int, Any]:
    """What OMERO knows about the first wanted section and channel at each time point."""
    parameters = ParametersI().addLong("id", pixels_id)
    parameters.add("z", rint(crop.z[0])).add("c", rint(crop.channels[0]))
    found = conn.getQueryService().findAllByQuery(
        "select p from PlaneInfo p where p.pixels.id = :id and p.theZ = :z and p.theC = :c",
        parameters,
        conn.SERVICE_OPTS,
    )
    return {plane.theT.val: plane for plane in found}


def _acquisition_date(image: ImageWrapper, statements: list[str]) -> datetime | None:
    # The gateway would put the date of the import where there is none.
    date = image._obj.acquisitionDate
    if date is None or not date.val:
        return None
    found = _after(datetime(1970, 1, 1, tzinfo=timezone.utc), date.val / 1000)
    if found is None:
        statements.append("the acquisition date makes no sense: ignored")
    return found


def _after(start: datetime, seconds: float) -> datetime | None:
    """A later or earlier time; None where no calendar reaches."""
    try:
        return start + timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # too far; not a number
        return None


def _times(
    planes: dict[int, Any], start: datetime | None, crop: Crop, statements: list[str]
) -> tuple[datetime, ...] | None:
    """Time stamps, where the time of every wanted time point is known."""
    seconds = [_seconds(planes[t].deltaT) if t in planes else None for t in crop.t]
    known = [value for value in seconds if value is not None]
    if len(known) < len(seconds):
        if known:
            statements.append(f"times known for {len(known)} of {len(seconds)} time points only: not used")
        return None
    if start is None and len(seconds) == 1:
        return None
    times = [_after(start or UNKNOWN_START, value) for value in known]
    sensible = tuple(time for time in times if time is not None)
    if len(sensible) < len(times):
        statements.append(f"times of {len(times) - len(sensible)} time points make no sense: not used")
        return None
    if start is None:
        statements.append(f"no acquisition date: the time stamps start at {UNKNOWN_START:%Y-%m-%d}")
    return sensible


def _origin(plane: Any, crop: Crop, z_um: float | None, statements: list[str]) -> tuple[float, float, float]:
    """Position (z, y, x) in µm of the first plane: of the stage, where known; else what the crop leaves out."""
    position: list[float | None] = [None, None, None]
    if plane is not None:
        labelled = zip("zyx", (plane.positionZ, plane.positionY, plane.positionX), strict=True)
        for index, (axis, length) in enumerate(labelled):
            part = micrometres(length, f"stage position {axis}", statements)
            if part is not None and not math.isfinite(part):
                statements.append(f"stage position {axis} of {part} µm makes no sense: ignored")
                part = None
            position[index] = part
    z, y, x = position
    return (crop.z[0] * (usable(z_um) or 1.0) if z is None else z, y or 0.0, x or 0.0)


def _channels(conn: BlitzGateway, pixels_id: int) -> list[Any]:
    pixels = conn.getQueryService().findByQuery(
        "select p from Pixels p join fetch p.channels c join fetch c.logicalChannel left outer join fetch c.statsInfo "
        "where p.id = :id",
        ParametersI().addLong("id", pixels_id),
        conn.SERVICE_OPTS,
    )
    return list(pixels.copyChannels())


def _bindings(conn: BlitzGateway, pixels_id: int, owner_id: int) -> list[Any]:
    """Settings of the channels: the user's, else the owner's, else none."""
    settings = {
        found.details.owner.id.val: found
        for found in conn.getQueryService().findAllByQuery(
            "select r from RenderingDef r left outer join fetch r.waveRendering where r.pixels.id = :id order by r.id",
            ParametersI().addLong("id", pixels_id),
            conn.SERVICE_OPTS,
        )
    }
    shown = settings.get(conn.getUserId()) or settings.get(owner_id)
    return list(shown.copyWaveRendering()) if shown is not None else []


def _channel(channel: Any, binding: Any, number: int, statements: list[str]) -> ImsChannel:
    logical = channel.logicalChannel
    window: tuple[float, float] | None
    if binding is not None:
        source, window = binding, (binding.inputStart.val, binding.inputEnd.val)
        if binding.lookupTable is not None and binding.lookupTable.val:
            statements.append(
                f"lookup table {binding.lookupTable.val} of channel {number + 1} is not taken over: its colour is used"
            )
    else:
        source = channel
        window = (channel.statsInfo.globalMin.val, channel.statsInfo.globalMax.val) if channel.statsInfo else None
    if window is not None and not all(map(math.isfinite, window)):  # of images with voxels that are no number
        window = None
    color = None
    if source.red is not None and source.green is not None and source.blue is not None:
        parts = (source.red.val, source.green.val, source.blue.val)
        # OMERO gives greyscale images a medium grey and shows them from black to white.
        color = (1.0, 1.0, 1.0) if len(set(parts)) == 1 and parts[0] else tuple(part / 255 for part in parts)
    return ImsChannel(
        name=_name(channel),
        color=color,
        window=window,
        emission_nm=_nanometres(logical.emissionWave),
        excitation_nm=_nanometres(logical.excitationWave),
    )


def _name(channel: Any) -> str:
    name = channel.logicalChannel.name
    return name.val if name is not None else ""


def _nanometres(length: Any) -> float | None:
    try:
        return None if length is None else float(LengthI(length, UnitsLength.NANOMETER).getValue())
    except Exception:  # as for micrometres
        return None


def _value_range(channels: Sequence[Any]) -> tuple[float, float] | None:
    ranges = [
        (channel.statsInfo.globalMin.val, channel.statsInfo.globalMax.val)
        for channel in channels
        if channel.statsInfo is not None
    ]
    if len(ranges) < len(channels):
        return None
    return min(low for low, _ in ranges), max(high for _, high in ranges)
