"""What of an image is wanted: channels, sections, time points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop


@dataclass(frozen=True)
class Part:
    """A part of images that are not known yet.

    Attributes
    ----------
    channels : tuple of str
        Numbers from 1, or names; all channels if empty.
    first_z, last_z, first_t, last_t : int or None
        Sections and time points from 1, both ends included; None means the end of the image.
    """

    channels: tuple[str, ...] = ()
    first_z: int | None = None
    last_z: int | None = None
    first_t: int | None = None
    last_t: int | None = None

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> Part:
        """The part behind the inputs of a script, unwrapped.

        Raises
        ------
        OmeroError
            If an input makes no sense by itself; no image is looked at yet.
        """
        channels = tuple(text.strip() for text in inputs.get("Channels") or [] if text.strip())
        if inputs.get("Channels") and not channels:
            raise OmeroError("Channels holds blanks only. Give numbers from 1 or names, or leave it empty for all.")
        ends = {name.lower(): inputs.get(name) for name in ("First_Z", "Last_Z", "First_T", "Last_T")}
        return cls(channels, **ends)

    def crop(self, sizes: Mapping[str, int], names: Sequence[str]) -> Crop:
        """The wanted part of an image.

        Parameters
        ----------
        sizes : mapping
            Of the axes "T" and "Z" of the image.
        names : sequence of str
            Of its channels.

        Raises
        ------
        OmeroError
            If the image does not have what is wanted.
        """
        channels = [_channel(text, names) for text in self.channels] or list(range(len(names)))
        for number in channels:
            if channels.count(number) > 1:
                raise OmeroError(f"channel {number + 1} is wanted twice. Name each channel once.")
        return Crop(
            channels,
            z=_range("Z", self.first_z, self.last_z, sizes["Z"]),
            t=_range("T", self.first_t, self.last_t, sizes["T"]),
        )


EVERYTHING = Part()


def crop_label(crop: Crop, sizes: Mapping[str, int]) -> str:
    """What a crop leaves of an image, such as ``C1+3 Z2-5``; empty if everything.

    Parameters
    ----------
    crop : Crop
    sizes : mapping
        Of the axes "T", "C" and "Z" of the image.
    """
    parts = []
    if list(crop.channels) != list(range(sizes["C"])):
        parts.append("C" + "+".join(str(number + 1) for number in crop.channels))
    for axis, wanted in (("Z", crop.z), ("T", crop.t)):
        if len(wanted) < sizes[axis]:
            parts.append(f"{axis}{wanted[0] + 1}-{wanted[-1] + 1}" if len(wanted) > 1 else f"{axis}{wanted[0] + 1}")
    return " ".join(parts)


def _channel(text: str, names: Sequence[str]) -> int:
    """Index of a channel by number from 1, else by name."""
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return int(text) - 1
    found = [number for number, name in enumerate(names) if name.casefold() == text.casefold()]
    if len(found) != 1:
        listed = ", ".join(f"{number} ({name})" if name else str(number) for number, name in enumerate(names, start=1))
        problem = "has no channel" if not found else f"has {len(found)} channels"
        raise OmeroError(f"the image {problem} '{text}'. Its channels: {listed}. Give a number, or a name.")
    return found[0]


def _range(axis: str, first: int | None, last: int | None, size: int) -> range:
    first = 1 if first is None else first
    last = size if last is None else last
    if not 1 <= first <= last <= size:
        raise OmeroError(
            f"the image has {axis} 1 to {size}, but {first} to {last} is wanted. Correct First_{axis} and Last_{axis}."
        )
    return range(first - 1, last)
