"""What services share that read pixels: resolutions, failures of files, limits of messages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import Ice
import omero

from .. import errors
from ..imports.errors import ImportFailed
from ..pixeldata import PixelData
from ..pixelreaders import Level, Planes
from .base import StatefulService

if TYPE_CHECKING:
    from ..context import Call


def unsupported() -> omero.InternalException:
    """What the server says to an operation which a kind of pixels does not have."""
    return errors.wrapped("java.lang.UnsupportedOperationException")


@contextlib.contextmanager
def file_access():
    """Failures of files become the exception which clients know."""
    try:
        yield
    except (OSError, ImportFailed) as exc:
        raise errors.resource(str(exc)) from exc


def check_size(call: Call, count: int) -> None:
    """Refuse an answer which the connection could not carry, before it is put together."""
    limit = call.core.adapter.getCommunicator().getProperties().getPropertyAsInt("Ice.MessageSizeMax")
    if count > limit << 10:
        raise Ice.MemoryLimitException(f"{count} bytes are more than one message may hold ({limit} kB)")


class Pyramid(StatefulService):
    """A service which reads the pixels of one image, in one of its resolutions."""

    def __init__(self) -> None:
        self.data: PixelData | None = None
        self.level = 0  # 0 is the largest here; on the wire it is the smallest

    def ready(self) -> PixelData:
        raise NotImplementedError

    @property
    def planes(self) -> Planes:
        return self.ready().planes

    @property
    def resolution(self) -> Level:
        return self.planes.levels[self.level]

    def requiresPixelsPyramid(self, call: Call) -> bool:
        return self.ready().large

    def getResolutionLevels(self, call: Call) -> int:
        return len(self.planes.levels)

    def getResolutionDescriptions(self, call: Call) -> list:
        return [omero.api.ResolutionDescription(x, y) for x, y, *_ in self.planes.levels]

    def getResolutionLevel(self, call: Call) -> int:
        return len(self.planes.levels) - 1 - self.level

    def setResolutionLevel(self, call: Call, resolutionLevel: int) -> None:
        data = self.ready()
        if data.raw is not None and not data.generated:
            raise unsupported()
        index = len(data.planes.levels) - 1 - resolutionLevel
        if index >= len(data.planes.levels):
            raise errors.api_usage(f"Invalid resolution: {index}")
        if index >= 0:  # recorded: one level too many changes nothing
            self.level = index

    def getTileSize(self, call: Call) -> list[int]:
        return [self.resolution.tile_x, self.resolution.tile_y]
