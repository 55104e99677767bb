"""Where an image goes: which window, and which channel, slice and frame in it. No Java here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from openhcs_core.plate import COMPONENTS, PlaneAddress, sorted_wells
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Begin, Value

MODES = {"well": "separate", "site": "separate", "channel": "stack", "z_index": "stack", "timepoint": "stack"}
"""What becomes of each component unless the stream says otherwise."""

STACKED = {"channel": "C", "z_index": "Z", "timepoint": "T", "well": "T", "site": "T"}
"""The dimension that a component joins when it is stacked."""

MAX_PLANES = 1_000_000
"""Of one window; against values gone wild."""

_SHORT = {"well": "", "site": "s", "channel": "c", "z_index": "z", "timepoint": "t"}


class Place(NamedTuple):
    """Channel, slice and frame, from 1."""

    c: int
    z: int
    t: int


class Dimensions:
    """Which components make windows, channels, slices and frames.

    Each component has one of three modes:

    stack
        It is a dimension of the hyperstack: channels along C, z along Z, time along T. Wells and sites that are
        stacked become frames one after another: all times of the first, then all times of the second.
    slice
        Its values follow one another along Z: all of z for the first value, then all of z for the second.
    separate
        Each value has its own window.

    Where components share a dimension the one to which it belongs runs fastest, and the others vary in the order
    well, site, channel, z, time, the last of them fastest. Every plane has a label which names all its values.

    Parameters
    ----------
    begin : Begin
        Of the stream; its `display` goes before `MODES`.

    Attributes
    ----------
    separate : tuple of str
        Components that make windows.
    axes : mapping of "C", "Z", "T" to tuple of str
        Components of each dimension, the slowest first.

    Raises
    ------
    StreamingError
        If a mode is unknown.
    """

    def __init__(self, begin: Begin) -> None:
        modes = {**MODES, **begin.display}
        for component, mode in modes.items():
            if mode not in ("stack", "slice", "separate"):
                raise StreamingError(f"{component} cannot be shown as {mode!r}: choose stack, slice or separate.")
        self.separate = tuple(name for name in COMPONENTS if modes[name] == "separate")
        joined = {name: "Z" if modes[name] == "slice" else STACKED[name] for name in COMPONENTS}
        self.axes = {
            axis: tuple(
                sorted(
                    (name for name in COMPONENTS if name not in self.separate and joined[name] == axis),
                    key=lambda name: (name == own, COMPONENTS.index(name)),
                )
            )
            for axis, own in (("C", "channel"), ("Z", "z_index"), ("T", "timepoint"))
        }

    def window(self, address: PlaneAddress) -> tuple[Value, ...]:
        """What tells the window of an image from the other windows of its stream."""
        return tuple(getattr(address, name) for name in self.separate)

    def windows(self, values: Mapping[str, Sequence[Value]]) -> int | None:
        """How many windows there are going to be; None if that is unknown."""
        count = 1
        for name in self.separate:
            if not values.get(name):
                return None
            count *= len(values[name])
        return count


class Places:
    """The places of one window: all combinations of the values that its components take, known or met so far.

    Not for several threads at once.

    Parameters
    ----------
    dimensions : Dimensions
    values : mapping of str to sequence
        Those that are known beforehand, in order; more may come, and go behind them, sorted.

    Attributes
    ----------
    axes : mapping of "C", "Z", "T" to tuple of str
        As in `Dimensions`.

    Raises
    ------
    StreamingError
        If there are more than `MAX_PLANES` of them.
    """

    def __init__(self, dimensions: Dimensions, values: Mapping[str, Sequence[Value]]) -> None:
        self.axes = dimensions.axes
        names = [name for axis in self.axes.values() for name in axis]
        self._known = {name: list(dict.fromkeys(values.get(name, ()))) for name in names}
        self._met: dict[str, list[Value]] = {name: [] for name in names}
        self._index: dict[str, dict[Value, int]] = {}
        for name in names:
            self._number(name)
        self._check(())

    def _number(self, name: str) -> None:
        self._index[name] = {value: index for index, value in enumerate(self._known[name] + self._met[name])}

    def _check(self, new: Sequence[str]) -> None:
        count = 1
        for name, index in self._index.items():
            count *= max(1, len(index) + (name in new))
        if count > MAX_PLANES:
            raise StreamingError(f"A window would have {count} planes; {MAX_PLANES} are the most.")

    def add(self, address: PlaneAddress) -> bool:
        """Make room for an image; True if there was none, so that others may have moved.

        Raises
        ------
        StreamingError
            If that were too many.
        """
        new = [name for name, index in self._index.items() if getattr(address, name) not in index]
        if not new:
            return False
        self._check(new)
        for name in new:
            met = self._met[name]
            met.append(getattr(address, name))
            met[:] = sorted_wells(map(str, met)) if name == "well" else sorted(met)
            self._number(name)
        return True

    def values(self, name: str) -> list[Value]:
        """The values of a component, in order; empty if it is none of this window."""
        return list(self._index.get(name, ()))

    @property
    def shape(self) -> Place:
        """Numbers of channels, slices and frames."""
        sizes = []
        for axis in "CZT":
            size = 1
            for name in self.axes[axis]:
                size *= max(1, len(self._index[name]))
            sizes.append(size)
        return Place(*sizes)

    def place(self, address: PlaneAddress) -> Place | None:
        """Where an image goes; None if it has no room here."""
        numbers = []
        for axis in "CZT":
            number = 0
            for name in self.axes[axis]:
                index = self._index[name].get(getattr(address, name))
                if index is None:
                    return None
                number = number * len(self._index[name]) + index
            numbers.append(number + 1)
        return Place(*numbers)

    def address(self, place: Place) -> PlaneAddress:
        """What is at a place; components that are none of this window are at their first value."""
        values: dict[str, Value] = {"well": ""}
        for axis, index in zip("CZT", place, strict=True):
            rest = index - 1
            for name in reversed(self.axes[axis]):
                known = self.values(name) or [1]
                rest, at = divmod(rest, len(known))
                values[name] = known[at]
        return PlaneAddress(**values)  # type: ignore[arg-type]

    def everywhere(self) -> Iterator[dict[str, Value]]:
        """Values of the components at every place, in the order of ImageJ: C fastest, then Z, then T."""
        c, z, t = ([*self._along(axis)] for axis in "CZT")
        for frame, slice_, channel in product(t, z, c):
            yield {**frame, **slice_, **channel}

    def _along(self, axis: str) -> Iterator[dict[str, Value]]:
        names = self.axes[axis]
        for values in product(*(self.values(name) or [1] for name in names)):
            yield dict(zip(names, values, strict=True))


def number(place: Place, shape: Place) -> int:
    """Number of a plane in the stack, from 1."""
    return ((place.t - 1) * shape.z + place.z - 1) * shape.c + place.c


def text_of(values: Mapping[str, Value], begin: Begin) -> str:
    """Values of components for people, such as "B03 s2 DAPI z3 t1"."""
    parts = []
    for name in COMPONENTS:
        if name in values:
            value = values[name]
            named = name == "channel" and isinstance(value, int) and 0 < value <= len(begin.channels)
            parts.append(begin.channels[int(value) - 1].name if named else f"{_SHORT[name]}{value}")
    return " ".join(part for part in parts if part)
