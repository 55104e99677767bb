"""What can go wrong between a publisher and a viewer."""

from openhcs_core.errors import OpenHCSError


class StreamingError(OpenHCSError):
    """Results cannot be streamed."""


class MessageError(StreamingError):
    """A message is malformed, too large, of another version, or makes no sense."""


class SecurityError(StreamingError):
    """An endpoint may not be used, or not without keys."""
