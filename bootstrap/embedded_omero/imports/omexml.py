"""OME-XML: images, channels, planes and plates as plain Python values.

The names of attributes follow the OMERO model (``PhysicalSizeX`` becomes ``physicalSizeX``), so that what is read here
can be stored as it is.
"""

from __future__ import annotations

import functools
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import omero.model

from ..metamodel import Field, metamodel
from ..store import Quantity
from .errors import ImportFailed

Element = ElementTree.Element
Values = dict[str, Any]

# Attributes whose name differs from that of the field in the OMERO model.
_RENAMED = {
    "LogicalChannel": {
        "EmissionWavelength": "emissionWave",
        "ExcitationWavelength": "excitationWave",
        "NDFilter": "ndFilter",
        "PinholeSize": "pinHoleSize",
        "AcquisitionMode": "mode",
        "IlluminationType": "illumination",
    },
    "StageLabel": {"X": "positionX", "Y": "positionY", "Z": "positionZ"},
    "ImagingEnvironment": {"CO2Percent": "co2percent"},
    "WellSample": {"PositionX": "posX", "PositionY": "posY"},
    "Plate": {"FieldIndex": "defaultSample"},
}
# Units of the schema where the file names none.
_UNITS = {"Length": "REFERENCEFRAME", "Time": "SECOND", "Temperature": "CELSIUS", "Pressure": "MILLIBAR"}
_LENGTH_UNITS = {"physicalSizeX": "MICROMETER", "physicalSizeY": "MICROMETER", "physicalSizeZ": "MICROMETER",
                 "pinHoleSize": "MICROMETER", "emissionWave": "NANOMETER", "excitationWave": "NANOMETER"}  # fmt: skip
# A document type may pull in other files or expand without end; OME-XML has none.
_DOCTYPE = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass
class Channel:
    """One channel: fields of LogicalChannel, colour (red, green, blue) if given, samples in each pixel."""

    values: Values = field(default_factory=dict)
    color: tuple[int, int, int] | None = None
    samples: int = 1


@dataclass
class TiffData:
    """Where a run of planes is: first page, first plane, number of planes, file (None: the one read)."""

    ifd: int | None
    c: int
    z: int
    t: int
    count: int | None
    file: str | None


@dataclass
class Image:
    """One image.

    Attributes
    ----------
    sizes : tuple of int
        X, Y, Z, C, T; C counts samples, so an RGB image has 3.
    type : str
        Pixel type as OME names it ("uint8", "float", ...).
    order : str
        Order of the planes, such as "XYZCT".
    values, pixels, stage_label, environment : dict
        Fields of Image, Pixels, StageLabel and ImagingEnvironment.
    planes : list of dict
        Fields of PlaneInfo.
    """

    id: str
    name: str | None
    sizes: tuple[int, int, int, int, int]
    type: str
    order: str = "XYZCT"
    values: Values = field(default_factory=dict)
    pixels: Values = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    data: list[TiffData] = field(default_factory=list)
    planes: list[Values] = field(default_factory=list)
    stage_label: Values | None = None
    environment: Values | None = None


@dataclass
class WellSample:
    """One field of a well: id, index in the well, id of its image, fields of WellSample."""

    id: str
    index: int
    image: str | None
    values: Values


@dataclass
class Well:
    """One well: fields of Well and its fields of view."""

    values: Values
    samples: list[WellSample]


@dataclass
class Acquisition:
    """One run over a plate: fields of PlateAcquisition and the ids of its well samples."""

    values: Values
    samples: set[str]


@dataclass
class Plate:
    """One plate: fields of Plate, wells and runs."""

    values: Values
    wells: list[Well]
    acquisitions: list[Acquisition]


@dataclass
class Document:
    """What one OME-XML block says; ``metadata_file`` names another file which says everything."""

    images: list[Image]
    plates: list[Plate]
    metadata_file: str | None = None


def parse(text: str) -> Document:
    """Read OME-XML.

    Raises
    ------
    ImportFailed
        If the text is not XML, has a document type (which could name external entities), or lacks what an image needs.
    """
    if _DOCTYPE.search(text):
        raise ImportFailed("The OME-XML has a document type declaration; remove it, OME-XML does not need one.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as exc:
        raise ImportFailed(f"The OME-XML is damaged: {exc}.") from exc
    if _tag(root) != "OME":
        raise ImportFailed(f"This is not OME-XML: the outermost element is {_tag(root)!r}.")
    binary_only = root.find("{*}BinaryOnly")
    return Document(
        [_image(e) for e in root.iterfind("{*}Image")],
        [_plate(e) for e in root.iterfind("{*}Plate")],
        binary_only.get("MetadataFile") if binary_only is not None else None,
    )


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _image(element: Element) -> Image:
    pixels = element.find("{*}Pixels")
    if pixels is None:
        raise ImportFailed(f"Image {element.get('ID', '')!r} of the OME-XML has no Pixels.")
    sizes = tuple(_whole(pixels, "Size" + axis) for axis in "XYZCT")
    if min(sizes) < 1:
        raise ImportFailed(f"Image {element.get('ID', '')!r} of the OME-XML has a size below 1.")
    order = pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or not order.startswith("XY"):
        raise ImportFailed(f"DimensionOrder {order!r} of the OME-XML is unknown.")
    image = Image(
        id=element.get("ID", ""),
        name=element.get("Name") or None,
        sizes=sizes,
        type=pixels.get("Type") or pixels.get("PixelType", ""),
        order=order,
        values=_values(element, "Image", "AcquisitionDate", "Description"),
        pixels=_values(pixels, "Pixels"),
        channels=[_channel(c) for c in pixels.iterfind("{*}Channel")],
        data=[_tiff_data(d) for d in pixels.iterfind("{*}TiffData")],
        planes=[_values(p, "PlaneInfo") for p in pixels.iterfind("{*}Plane")],
    )
    for tag, attribute in (("StageLabel", "stage_label"), ("ImagingEnvironment", "environment")):
        found = element.find("{*}" + tag)
        if found is not None:
            setattr(image, attribute, _values(found, tag))
    for name in ("sizeX", "sizeY", "sizeZ", "sizeC", "sizeT"):
        image.pixels.pop(name, None)
    return image


def _channel(element: Element) -> Channel:
    values = _values(element, "LogicalChannel")
    color = element.get("Color")
    rgb = _rgba(color)[:3] if color else None
    return Channel(values, rgb, values.pop("samplesPerPixel", 1))


def _rgba(text: str) -> tuple[int, int, int, int]:
    number = _number(text, "Color", int) & 0xFFFFFFFF
    return number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255


def _tiff_data(element: Element) -> TiffData:
    uuid = element.find("{*}UUID")
    return TiffData(
        ifd=_whole(element, "IFD", None),
        c=_whole(element, "FirstC", 0),
        z=_whole(element, "FirstZ", 0),
        t=_whole(element, "FirstT", 0),
        count=_whole(element, "PlaneCount", None),
        file=uuid.get("FileName") if uuid is not None else None,
    )


def _plate(element: Element) -> Plate:
    return Plate(
        _values(element, "Plate", "Description"),
        [_well(w) for w in element.iterfind("{*}Well")],
        [
            Acquisition(
                _values(a, "PlateAcquisition", "Description"),
                {r.get("ID", "") for r in a.iterfind("{*}WellSampleRef")},
            )
            for a in element.iterfind("{*}PlateAcquisition")
        ],
    )


def _well(element: Element) -> Well:
    values = _values(element, "Well")
    if element.get("Color"):
        values.update(zip(("red", "green", "blue", "alpha"), _rgba(element.get("Color", "0")), strict=True))
    samples = []
    for sample in element.iterfind("{*}WellSample"):
        reference = sample.find("{*}ImageRef")
        samples.append(
            WellSample(
                sample.get("ID", ""),
                _whole(sample, "Index", 0),
                reference.get("ID") if reference is not None else None,
                _values(sample, "WellSample"),
            )
        )
    return Well(values, sorted(samples, key=lambda s: s.index))


# -- attributes


def _values(element: Element, entity: str, *children: str) -> Values:
    """Fields of an entity: from all attributes which the model knows, and from child elements with text."""
    fields, renamed = metamodel()[entity].fields, _RENAMED.get(entity, {})
    found: Values = {}
    texts = dict(element.attrib)
    for tag in children:
        child = element.find("{*}" + tag)
        if child is not None and child.text:
            texts[tag] = child.text.strip()
    for name, text in texts.items():
        f = fields.get(renamed.get(name) or name[0].lower() + name[1:])
        if f is None:
            continue
        if f.kind == "quantity":
            found[f.name] = Quantity(_number(text, name, float), _unit(f, element.get(name + "Unit")))
        elif f.kind == "ref" or f.type == "string":  # references here are to enumerations, by their value
            found[f.name] = text
        elif f.type == "time":
            found[f.name] = _time(text, name)
        elif f.type in ("int", "long"):
            found[f.name] = _number(text, name, int)
        elif f.type in ("float", "double"):
            found[f.name] = _number(text, name, float)
    return found


def _whole(element: Element, name: str, *default: Any) -> Any:
    text = element.get(name)
    if text is None:
        if default:
            return default[0]
        raise ImportFailed(f"{_tag(element)} of the OME-XML lacks {name}.")
    return _number(text, name, int)


def _number(text: str, name: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ImportFailed(f"{name}={text!r} of the OME-XML is not a number.") from None


def _time(text: str, name: str) -> int:
    """Milliseconds since 1970; times of OME-XML are in UTC unless they say otherwise."""
    iso = re.sub(r"\.(\d+)", lambda m: "." + m[1][:6].ljust(6, "0"), text.strip().replace("Z", "+00:00"))
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        raise ImportFailed(f"{name}={text!r} of the OME-XML is not a time such as 2024-02-28T13:45:30.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)


def _unit(f: Field, symbol: str | None) -> str:
    if symbol is None:
        return _LENGTH_UNITS.get(f.name, _UNITS.get(f.type, ""))
    unit = unit_named(symbol, f.type)
    if unit is None:
        raise ImportFailed(f"The OME-XML gives {f.name} in {symbol!r}, which is no unit of {f.type}.")
    return unit


@functools.cache
def _symbols(quantity: str) -> dict[str, str]:
    return {s: name for name, s in getattr(omero.model, quantity + "I").SYMBOLS.items()}


def unit_named(symbol: str, quantity: str = "Length") -> str | None:
    """Name of a unit in the OMERO model ("MICROMETER") by its symbol; None for an unknown one."""
    symbols = _symbols(quantity)
    # Two characters look like a micro sign.
    return symbols.get(symbol) or symbols.get(symbol.replace("\u03bc", "\u00b5"))
