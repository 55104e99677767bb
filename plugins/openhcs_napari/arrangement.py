"""What becomes of the components of a stream: layers of their own, or positions along sliders."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from openhcs_core.plate import COMPONENTS, PlaneAddress
from openhcs_core.streaming.messages import Begin
from openhcs_napari.planes import Place, Tick

SLIDERS = ("well", "site", "timepoint", "z_index")
"""The sliders that there can be, in the order of the axes before y and x."""

NAMES = {"well": "well", "site": "site", "channel": "channel", "timepoint": "t", "z_index": "z"}
"""What components are called in the window."""

_MOST_TICKS = 100_000


@dataclass(frozen=True)
class Arrangement:
    """How the planes of a stream are laid out.

    Attributes
    ----------
    separate : tuple of str
        Components that tell layers apart.
    along : tuple of tuple of str
        For each of the `SLIDERS` the components that go along it, those that change slowly first.
    """

    separate: tuple[str, ...]
    along: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, begin: Begin) -> Arrangement:
        """That of a stream: a layer for each channel, everything else along sliders, unless it says otherwise."""
        ways = {component: begin.display.get(component, "stack") for component in COMPONENTS}
        separate = tuple(
            component
            for component, way in ways.items()
            if way == "separate" or (component == "channel" and way != "slice")
        )
        sliced = [component for component, way in ways.items() if way == "slice" and component != "z_index"]
        along = {component: [component] if component not in (*separate, *sliced) else [] for component in SLIDERS}
        along["z_index"] = sliced + along["z_index"]
        return cls(separate, tuple(tuple(components) for components in along.values()))

    def layer(self, address: PlaneAddress) -> Tick:
        """The values that tell its layer from others."""
        return tuple(getattr(address, component) for component in self.separate)

    def place(self, address: PlaneAddress) -> Place:
        """Where in its layer a plane belongs."""
        return tuple(tuple(getattr(address, name) for name in components) for components in self.along)

    def layers(self, begin: Begin) -> list[Tick]:
        """All layers that there are going to be; none if that is not known."""
        return self._announced(begin, self.separate)

    def ticks(self, begin: Begin) -> list[list[Tick]]:
        """For each slider all positions that there are going to be; none where that is not known."""
        return [self._announced(begin, components) for components in self.along]

    def total(self, begin: Begin) -> int | None:
        """How many planes each layer is going to have, if that is known."""
        layers = len(self.layers(begin))
        if begin.images is not None and layers and not begin.images % layers:
            return begin.images // layers
        return prod(map(len, self.ticks(begin))) or None

    @staticmethod
    def _announced(begin: Begin, components: Sequence[str]) -> list[Tick]:
        values = [begin.values.get(component, ()) for component in components]
        return list(itertools.product(*values)) if prod(map(len, values)) <= _MOST_TICKS else []


class Axes:
    """The positions along the sliders, the same for all layers of a window, in the order of a plate."""

    def __init__(self) -> None:
        self._index: dict[tuple[int, tuple[str, ...]], dict[Tick, int]] = {}

    def add(self, arrangement: Arrangement, ticks: Sequence[Iterable[Tick]]) -> bool:
        """Add positions to each slider; whether earlier ones have moved, or there are more axes now."""
        first, moved = self.first, False
        for slider, (components, new) in enumerate(zip(arrangement.along, ticks, strict=True)):
            old = self._index.setdefault((slider, components), {})
            if not old.keys() >= (new := set(new)):
                table = {tick: index for index, tick in enumerate(sorted(old.keys() | new, key=_natural))}
                moved = moved or any(table[tick] != index for tick, index in old.items())
                self._index[slider, components] = table
        return moved or self.first != first

    def has(self, arrangement: Arrangement, place: Place) -> bool:
        """Whether a place is there."""
        return all(
            tick in self._index.get((slider, components), {})
            for slider, (components, tick) in enumerate(zip(arrangement.along, place, strict=True))
        )

    def table(self, arrangement: Arrangement, slider: int) -> dict[Tick, int]:
        """The index of each position along a slider, in order."""
        return self._index.get((slider, arrangement.along[slider]), {})

    def indices(self, arrangement: Arrangement, place: Place) -> tuple[int, ...]:
        """The index of a place along each slider."""
        return tuple(self.table(arrangement, slider)[tick] for slider, tick in enumerate(place))

    @property
    def first(self) -> int:
        """The number of sliders, from the first on, that have no more than one position."""
        longest = [0] * len(SLIDERS)
        for (slider, _), table in self._index.items():
            longest[slider] = max(longest[slider], len(table))
        return next((slider for slider, length in enumerate(longest) if length > 1), len(SLIDERS))


def label(arrangement: Arrangement, place: Place) -> str:
    """A place for people, such as "well B03, site 2"."""
    values = {
        component: value
        for components, tick in zip(arrangement.along, place, strict=True)
        for component, value in zip(components, tick, strict=True)
    }
    return ", ".join(f"{NAMES[name]} {values[name]}" for name in NAMES if values.get(name, "") != "")


def _natural(tick: Tick) -> list[tuple[int, str, int]]:
    """To sort by: B2 before B10, and H12 before AA01."""
    keys = []
    for value in map(str, tick):
        letters = value.rstrip("0123456789")
        keys.append((len(letters), letters, int(value[len(letters) :] or 0)))
    return keys
