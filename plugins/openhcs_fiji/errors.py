"""What can go wrong here."""

from __future__ import annotations

from openhcs_core.errors import OpenHCSError


class FijiError(OpenHCSError):
    """ImageJ cannot be started; the message says what is missing and where it comes from."""
