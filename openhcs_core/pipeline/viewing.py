"""Viewers that steps show their results in: which, where and how."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.inherit import Effective, lazy, normal_value, settable
from openhcs_core.pipeline.values import INHERIT, shown, written
from openhcs_core.plate import COMPONENTS
from openhcs_core.streaming.endpoints import CONTROL_OFFSET, FIJI_PORT, NAPARI_PORT, tcp

Mode = Literal["stack", "slice", "separate"]
"""What becomes of the values of a component: a dimension of one stack, slices one after the other, or a layer or
window each."""

HERE = "localhost"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}")


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamingConfig:
    """A viewer that a step shows its images and labels in while they are made; any viewer of a plugin.

    Attributes
    ----------
    viewer : str
        Its name, such as "napari".
    host : str
        Where it is.
    port : int, optional
        That it listens at; its usual one unless given.
    well_mode, site_mode, channel_mode, z_index_mode, timepoint_mode : {"stack", "slice", "separate"}, optional
        What becomes of the values of a component; as the viewer has it unless given.
    persistent : bool
        Whether a viewer that is started for a run stays open when the program that runs it ends.

    Raises
    ------
    PipelineError
        If a value makes no sense.
    """

    viewer: str = ""
    host: str = HERE
    port: int | None = None
    well_mode: Mode | None = None
    site_mode: Mode | None = None
    channel_mode: Mode | None = None
    z_index_mode: Mode | None = None
    timepoint_mode: Mode | None = None
    persistent: bool = True

    def __post_init__(self) -> None:
        for item in settable(type(self)):
            value = getattr(self, item.name)
            if value is not INHERIT:
                what = f"{type(self).__name__}: {item.name}"
                value = normal_value(value, item.type, what)
                _check(item.name, value, what)
                object.__setattr__(self, item.name, value)
        if self.viewer in ("", INHERIT):
            raise PipelineError(f"{type(self).__name__}: viewer must name a viewer, such as viewer='napari'.")

    @property
    def display(self) -> dict[str, str]:
        """What becomes of the components for which that is set."""
        modes = {component: getattr(self, f"{component}_mode") for component in COMPONENTS}
        return {component: mode for component, mode in modes.items() if mode not in (None, INHERIT)}

    @property
    def endpoint(self) -> str:
        """Where the viewer listens; of a complete configuration with a port."""
        return tcp(self.host, self.port or 0)

    def __repr__(self) -> str:
        return written(self)


@dataclass(frozen=True, kw_only=True, repr=False)
class NapariStreamingConfig(StreamingConfig):
    """napari as the viewer of a step; see `StreamingConfig`.

    Attributes
    ----------
    napari_port : int
    napari_host : str
    """

    viewer: str = field(default="napari", init=False)
    host: str = field(default=HERE, init=False)
    port: int | None = field(default=NAPARI_PORT, init=False)
    napari_port: int = NAPARI_PORT
    napari_host: str = HERE

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "host", self.napari_host)
        object.__setattr__(self, "port", self.napari_port)


@dataclass(frozen=True, kw_only=True, repr=False)
class FijiStreamingConfig(StreamingConfig):
    """Fiji as the viewer of a step; see `StreamingConfig`.

    Attributes
    ----------
    fiji_port : int
    fiji_host : str
    lut : str
        Name of a lookup table of ImageJ, such as "Fire", for all channels; their own colours unless given.
    """

    viewer: str = field(default="fiji", init=False)
    host: str = field(default=HERE, init=False)
    port: int | None = field(default=FIJI_PORT, init=False)
    fiji_port: int = FIJI_PORT
    fiji_host: str = HERE
    lut: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "host", self.fiji_host)
        object.__setattr__(self, "port", self.fiji_port)


@lazy
class LazyStreamingConfig(StreamingConfig):
    """What a step sets of `StreamingConfig`; the rest is inherited from the configuration of the same viewer."""


@lazy
class LazyNapariStreamingConfig(NapariStreamingConfig):
    """What a step sets of `NapariStreamingConfig`; the rest is inherited."""


@lazy
class LazyFijiStreamingConfig(FijiStreamingConfig):
    """What a step sets of `FijiStreamingConfig`; the rest is inherited."""


STREAMING_CLASSES = (
    *(StreamingConfig, NapariStreamingConfig, FijiStreamingConfig),
    *(LazyStreamingConfig, LazyNapariStreamingConfig, LazyFijiStreamingConfig),
)


def listed_viewers(value: Any, what: str) -> tuple[StreamingConfig, ...]:
    """One configuration of a viewer, or several, as a tuple.

    Raises
    ------
    PipelineError
        If one is something else, or there are two of one place.
    """
    given = (value,) if isinstance(value, StreamingConfig) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(item, StreamingConfig) for item in given):
        names = ", ".join(item.__name__ for item in STREAMING_CLASSES)
        raise PipelineError(f"{what} must be one of {names}, or a list of them, not {shown(value)}.")
    places = [(item.viewer, item.host, item.port) for item in given]
    for place in places:
        if places.count(place) > 1:
            raise PipelineError(f"{what} names {place[0]} twice at the same place: take one out, or set its port.")
    return tuple(given)


def effective_viewer(config: StreamingConfig, levels: Sequence[tuple[str, Any]]) -> Effective[StreamingConfig]:
    """What is in effect of the configuration of a step.

    Parameters
    ----------
    config : StreamingConfig
    levels : sequence of (str, config)
        Those above the step: pipeline configurations, of which the first in `streaming` for the same viewer counts.
    """
    kinds = (NapariStreamingConfig, FijiStreamingConfig, StreamingConfig)
    kind: Any = next(kind for kind in kinds if isinstance(config, kind))
    above = []
    for name, level in levels:
        known = getattr(level, "streaming", INHERIT)
        fitting = [item for item in (() if known is INHERIT else known) if item.viewer == config.viewer]
        above.append((name, fitting[0] if fitting else None))
    return Effective(kind, [("the step", config), *above])


def _check(name: str, value: Any, what: str) -> None:
    if name.endswith("port") and value is not None and not 0 < value <= 65535 - CONTROL_OFFSET:
        raise PipelineError(f"{what} must be from 1 to {65535 - CONTROL_OFFSET}, not {value}.")
    if name.endswith("host") and not _HOST.fullmatch(value):
        raise PipelineError(f"{what}: {shown(value)} is no name or address of a machine.")
    if name == "viewer" and not _NAME.fullmatch(value):
        raise PipelineError(f"{what} must name a viewer, such as 'napari', not {shown(value)}.")
    if name == "lut" and value and not _NAME.fullmatch(value):
        raise PipelineError(f"{what}: {shown(value)} is no name of a lookup table, such as 'Fire'.")
