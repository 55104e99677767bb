"""How images are displayed: the settings of each channel, their defaults, and rendered planes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from . import errors
from .imports.tiff import dtype_of
from .pixeldata import open_pixels
from .pixelreaders import Planes
from .store import Quantity, Record

if TYPE_CHECKING:
    from .context import Call

RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
_ACTIVE = 3  # so many channels are shown at first
_RGB_BELOW = 10  # with so many channels and more the first view is grey
_FAMILIES: dict[str, Callable] = {
    "linear": lambda x, k: x,
    "polynomial": lambda x, k: x**k,
    "exponential": lambda x, k: np.exp(x**k),
    "logarithmic": lambda x, k: np.log(np.maximum(x, 1e-12)),
}


@dataclass
class ChannelSettings:
    """Settings of one channel: input window, mapping, colour (red, green, blue, alpha)."""

    start: float
    end: float
    color: tuple[int, int, int, int]
    active: bool = True
    family: str = "linear"
    coefficient: float = 1.0
    noise_reduction: bool = False
    lookup_table: str = ""
    reverse: bool = False


@dataclass
class Settings:
    """Settings of one image, independent of the database."""

    z: int
    t: int
    model: str
    channels: list[ChannelSettings] = field(default_factory=list)
    cd_start: int = 0
    cd_end: int = 255
    bits: int = 255

    @classmethod
    def of(cls, call: Call, rdef: Record) -> Settings:
        """The settings of a RenderingDef."""
        quantum, store = rdef["quantization"], call.store
        made = cls(rdef["defaultZ"], rdef["defaultT"], rdef["model"]["value"], [], quantum["cdStart"], quantum["cdEnd"],
                   quantum["bitResolution"])  # fmt: skip
        for b in store.collection(rdef, rdef.entity.fields["waveRendering"]):
            maps = store.collection(b, b.entity.fields["spatialDomainEnhancement"])
            made.channels.append(
                ChannelSettings(
                    b["inputStart"],
                    b["inputEnd"],
                    (b["red"], b["green"], b["blue"], b["alpha"]),
                    bool(b["active"]),
                    b["family"]["value"],
                    b["coefficient"],
                    bool(b["noiseReduction"]),
                    b["lookupTable"] or "",
                    any(m.entity.name == "ReverseIntensityContext" for m in maps),
                )  # fmt: skip
            )
        return made

    def save(self, call: Call, pixels: Record, rdef: Record | None = None) -> Record:
        """Write the settings into a RenderingDef, a new one of the caller unless one is given.

        Raises
        ------
        omero.SecurityViolation
            If the caller may not annotate the image.
        """
        if not call.flags(pixels).annotate:
            raise errors.security(f"Cannot save rendering settings for {pixels.entity.java}:Id_{pixels.id}")
        enum = call.enum
        values = {"defaultZ": self.z, "defaultT": self.t, "model": enum("RenderingModel", self.model)}
        quantum = {"cdStart": self.cd_start, "cdEnd": self.cd_end, "bitResolution": self.bits}
        if rdef is None:
            rdef = call.add(
                "RenderingDef", {"pixels": pixels, **values, "quantization": call.add("QuantumDef", quantum)}
            )
        else:
            _change(call, rdef, values)
            _change(call, rdef["quantization"], quantum)
        bindings = call.store.collection(rdef, rdef.entity.fields["waveRendering"])
        for n, channel in enumerate(self.channels):
            wanted = {
                "inputStart": channel.start, "inputEnd": channel.end, "active": channel.active,
                "family": enum("Family", channel.family), "coefficient": channel.coefficient,
                "noiseReduction": channel.noise_reduction, "lookupTable": channel.lookup_table or None,
                **dict(zip(("red", "green", "blue", "alpha"), channel.color, strict=True)),
            }  # fmt: skip
            if n < len(bindings):
                binding = bindings[n]
                _change(call, binding, wanted)
            else:
                binding = call.add("ChannelBinding", {"renderingDef": rdef, **wanted})
            maps = call.store.collection(binding, binding.entity.fields["spatialDomainEnhancement"])
            if channel.reverse and not maps:
                call.add("ReverseIntensityContext", {"channelBinding": binding, "reverse": True})
            elif not channel.reverse:
                for context in maps:
                    call.store.remove(context)
        return rdef


def _change(call: Call, record: Record, values: dict) -> None:
    for name, value in values.items():
        call.change(record, name, value)


# -- defaults


def type_range(pixels_type: str) -> tuple[float, float]:
    """Smallest and largest value of a pixel type; floating point counts as 32-bit integers, as on the server."""
    dtype = dtype_of(pixels_type)
    limits = np.iinfo(dtype if dtype.kind in "iu" else np.int32)
    return float(limits.min), float(limits.max)


def settings_of(call: Call, pixels: Record, user: Record | None = None) -> Record | None:
    """The latest RenderingDef of a user, the caller unless given, for these pixels."""
    owner = user or call.user
    found = [r for r in call.store.collection(pixels, pixels.entity.fields["settings"]) if r.owner is owner]
    return found[-1] if found else None


def settings_for(call: Call, pixels: Record) -> Record | None:
    """With which RenderingDef the caller sees an image: their own, or the owner's where they could not make one."""
    own = settings_of(call, pixels)
    return own if own is not None or call.flags(pixels).annotate else settings_of(call, pixels, pixels.owner)


def default_settings(call: Call, pixels: Record, *, from_plane: bool = True) -> Settings:
    """What an image looks like at first.

    Windows are the limits of the channels; where those are not known those of the middle plane, or with
    ``from_plane=False`` those of the pixel type.
    """
    channels = call.store.collection(pixels, pixels.entity.fields["channels"])
    z = pixels["sizeZ"] // 2
    planes = None
    made = []
    colors = _colors(channels)
    for n, channel in enumerate(channels):
        stats = channel["statsInfo"]
        if stats is not None:
            low, high = stats["globalMin"], stats["globalMax"]
        elif from_plane and dtype_of(pixels["pixelsType"]["value"]).kind != "c":
            planes = planes or open_pixels(call.core, pixels).planes
            plane = planes.plane(z, n, 0, len(planes.levels) - 1)
            low, high = float(plane.min()), float(plane.max())
        else:
            low = high = 0.0
        if not low < high:
            low, high = type_range(pixels["pixelsType"]["value"])
        made.append(ChannelSettings(low, high, colors[n], active=n < _ACTIVE))
    return Settings(z, 0, "rgb" if 1 < len(channels) < _RGB_BELOW else "greyscale", made)


def _colors(channels: list[Record]) -> list[tuple[int, int, int, int]]:
    """Colours as stored, else the usual ones."""
    emissions = [c["logicalChannel"]["emissionWave"] for c in channels]
    found = []
    for n, channel in enumerate(channels):
        stored = tuple(channel[name] for name in ("red", "green", "blue", "alpha"))
        found.append(stored if None not in stored else (*usual_color(n, emissions), 255))
    return found


def usual_color(index: int, emissions: list[Quantity | None]) -> tuple[int, int, int]:
    """Colour of a channel for which none is given: by emission wavelength, else red, green, blue in turn.

    Parameters
    ----------
    index : int
        Which channel.
    emissions : list of Quantity or None
        Emission wavelengths of all channels.
    """
    by_emission = [_by_emission(e) for e in emissions]
    if by_emission[index] is not None:
        return by_emission[index]
    return WHITE if any(by_emission) else (RED, GREEN, BLUE)[index % 3]


def _by_emission(wave: Quantity | None) -> tuple[int, int, int] | None:
    if wave is None or wave.unit != "NANOMETER":
        return None
    for color, low, high in ((BLUE, 400, 500), (GREEN, 501, 600), (RED, 601, 700)):
        if low <= int(wave.value) <= high:
            return color
    return None


# -- rendering


def render(settings: Settings, planes: list[np.ndarray | None]) -> np.ndarray:
    """Colours of planes of one size.

    Parameters
    ----------
    settings : Settings
    planes : list of ndarray or None
        Plane of each channel, shape (Y, X); None for those which are not active.

    Returns
    -------
    ndarray of uint8, shape (Y, X, 3)
    """
    shape = next((p.shape for p in planes if p is not None), (0, 0))
    total = np.zeros((*shape, 3), np.int32)
    for channel, plane in zip(settings.channels, planes, strict=True):
        if plane is None:
            continue
        grey = _quantize(settings, channel, plane)
        if settings.model == "greyscale":
            return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        for band in range(3):
            ratio = channel.color[band] / 255 * (channel.color[3] / 255)
            if ratio:
                total[..., band] += (grey * ratio).astype(np.int32)
    return np.minimum(total, 255).astype(np.uint8)


def _quantize(settings: Settings, channel: ChannelSettings, plane: np.ndarray) -> np.ndarray:
    """Values between ``cd_start`` and ``cd_end``: the window, mapped by the family."""
    family = _FAMILIES[channel.family]
    low, high = (float(family(np.float64(v), channel.coefficient)) for v in (channel.start, channel.end))
    values = family(np.clip(np.real(plane).astype(np.float64), channel.start, channel.end), channel.coefficient)
    share = (values - low) / (high - low) if high > low else np.zeros(plane.shape)
    if channel.reverse:
        share = 1 - share
    share = np.nan_to_num(share)
    if settings.bits < 255:
        share = np.round(share * settings.bits) / settings.bits
    return np.floor(settings.cd_start + share * (settings.cd_end - settings.cd_start) + 0.5)


def read_active(
    settings: Settings, planes: Planes, z: int, t: int, region: tuple[int, int, int, int] | None = None, level: int = 0
) -> list[np.ndarray | None]:
    """Planes of the active channels, or a region (x, y, width, height) of them."""
    x, y, w, h = region or (0, 0, *planes.levels[level][:2])
    return [planes.read(z, c, t, x, y, w, h, level) if s.active else None for c, s in enumerate(settings.channels)]


def project(
    settings: Settings, planes: Planes, algorithm: int, t: int, zs: range, level: int = 0
) -> list[np.ndarray | None]:
    """Projection of the active channels along Z: 0 maximum, 1 mean, 2 sum."""
    found: list[np.ndarray | None] = []
    for c, channel in enumerate(settings.channels):
        if not channel.active:
            found.append(None)
            continue
        total = planes.plane(zs[0], c, t, level).astype(np.float64)
        for z in zs[1:]:
            plane = planes.plane(z, c, t, level)
            total = np.maximum(total, plane) if algorithm == 0 else total + plane
        found.append(total / len(zs) if algorithm == 1 else total)
    return found


def jpeg(colors: np.ndarray, quality: float, size: tuple[int, int] | None = None) -> bytes:
    """A JPEG file of rendered colours, scaled to ``size`` (width, height) if given; quality from 0 to 1."""
    image = Image.fromarray(np.ascontiguousarray(colors))
    if size is not None and image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=max(1, min(95, round(quality * 100))))
    return buffer.getvalue()


def thumbnail_size(size_x: int, size_y: int, longest: int) -> tuple[int, int]:
    """Width and height with that longest side and the aspect ratio of the image."""
    side = max(size_x, size_y)
    return max(1, size_x * longest // side), max(1, size_y * longest // side)


def thumbnail(
    settings: Settings, planes: Planes, size: tuple[int, int], z: int | None = None, t: int | None = None
) -> bytes:
    """A small JPEG of the default plane, from the smallest resolution which suffices."""
    level = max((n for n, r in enumerate(planes.levels) if r.size_x >= size[0] and r.size_y >= size[1]), default=0)
    z, t = settings.z if z is None else z, settings.t if t is None else t
    region = read_active(settings, planes, z, t, None, level)
    return jpeg(render(settings, region), 0.85, size)
