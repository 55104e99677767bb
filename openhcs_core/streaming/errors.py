"""What can go wrong between a publisher and a viewer."""

from openhcs_core.errors import OpenHCSError


class StreamingError(OpenHCSError):
    """Results cannot be streamed."""


class MessageError(StreamingError):
    """A message is malformed, too large, of another version, or makes no sense.

    Attributes
    ----------
    field : str
        The field that is wrong, if it is one.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class SecurityError(StreamingError):
    """An endpoint may not be used, or not without keys."""
