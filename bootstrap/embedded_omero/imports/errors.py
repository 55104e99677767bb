"""What goes wrong with imports."""

from __future__ import annotations


class ImportFailed(Exception):
    """A file which cannot be imported; the message says why and what to do."""
