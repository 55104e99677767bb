"""No test leaves anything in shared memory."""

from __future__ import annotations

import pytest

from tests.streaming.peers import segments


@pytest.fixture(autouse=True)
def _nothing_left_in_shared_memory():
    before = segments()
    yield
    assert segments() == before
