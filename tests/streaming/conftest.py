"""No test leaves anything in shared memory."""

from __future__ import annotations

import pytest

from tests.streaming.peers import segments, until


@pytest.fixture(autouse=True)
def _nothing_left_in_shared_memory():
    before = set(segments())
    yield
    until(lambda: set(segments()) - before, lambda more: not more, 5)
