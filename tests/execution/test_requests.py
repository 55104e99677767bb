"""Requests: what they say, how they travel, and what is refused with the name of the field."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhcs_core.execution.errors import CODES
from openhcs_core.execution.record import STATES, Execution
from openhcs_core.execution.requests import (
    COMMANDS,
    Cancel,
    Execute,
    List,
    Logs,
    Ping,
    Resume,
    Status,
    read_request,
    request_table,
)
from openhcs_core.streaming.errors import MessageError

ID = "8a1f6f0e-5f5e-4f0a-9a43-0b6b2a5f4d11"
MESSAGING = (Path(__file__).parents[2] / "docs" / "messaging.md").read_text(encoding="utf-8")
REQUESTS = [
    Execute(pipeline_code="pipeline_steps = []", plate_id=12),
    Execute(
        session="s",
        pipeline_code="x" * 100_000,
        config_code="config = GlobalPipelineConfig()",
        plate="Image:5,6",
        client_address="192.168.1.100:5555",
        client_key="k",
        request_key="r",
        wells=("A01", "B02"),
        workers=3,
        outputs=("masks", "tables"),
        resume=False,
    ),
    Status(session="s", execution_id=ID),
    List(session="s", state="failed", everyone=True, limit=3),
    Cancel(session="s", execution_id=ID),
    Resume(session="s", execution_id=ID),
    Logs(session="s", execution_id=ID, offset=7),
    Ping(),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.command)
def test_there_and_back(request_):
    assert read_request(json.dumps(request_table(request_)).encode()) == request_


def test_the_first_request_of_all_is_still_understood():
    text = (
        b'{"command": "execute", "plate_id": 123, "pipeline_code": "p", "config_code": "c",'
        b' "client_address": "192.168.1.100:5555"}'
    )
    assert read_request(text) == Execute(
        plate_id=123, pipeline_code="p", config_code="c", client_address="192.168.1.100:5555"
    )
    assert read_request(b'{"type": "ping"}') == Ping()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b"{}", "command"),
        (b'{"command": null}', "command"),
        (b'{"command": ["execute"]}', "command"),
        (b'{"command": "destroy"}', "command"),
        (b'{"command": "execute"}', "pipeline_code"),
        (b'{"command": "execute", "pipeline_code": 5}', "pipeline_code"),
        (b'{"command": "execute", "pipeline_code": "p", "plate_id": "12"}', "plate_id"),
        (b'{"command": "execute", "pipeline_code": "p", "plate_id": -1}', "plate_id"),
        (b'{"command": "execute", "pipeline_code": "p", "plate_id": true}', "plate_id"),
        (b'{"command": "execute", "pipeline_code": "p", "plate_id": 1e99}', "plate_id"),
        (b'{"command": "execute", "pipeline_code": "p", "wells": "A01"}', "wells"),
        (b'{"command": "execute", "pipeline_code": "p", "outputs": ["pixels"]}', "outputs"),
        (b'{"command": "execute", "pipeline_code": "p", "resume": 1}', "resume"),
        (b'{"command": "status"}', "execution_id"),
        (b'{"command": "status", "execution_id": null}', "execution_id"),
        (b'{"command": "list", "state": "sleeping"}', "state"),
        (b'{"command": "list", "limit": 1.5}', "limit"),
        (b'{"command": "logs", "execution_id": "x", "offset": -1}', "offset"),
        (b'{"command": "ping", "sesion": "s"}', "sesion"),
    ],
)
def test_what_is_refused_names_the_field(text, field):
    with pytest.raises(MessageError) as refused:
        read_request(text)
    assert refused.value.field == field


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_nothing_but_a_request_or_a_refusal(value):
    for table in (value, {"command": value}, {"command": "execute", "pipeline_code": value}):
        try:
            request = read_request(json.dumps(table).encode())
        except MessageError:
            continue
        assert type(request) in COMMANDS.values()


def test_a_session_is_not_shown():
    assert "secret" not in repr(Status(session="secret", execution_id=ID))


def test_all_is_documented():
    for command, kind in COMMANDS.items():
        section = MESSAGING.partition(f"#### `{command}`")[2].partition("\n#### ")[0]
        example = section.partition("```json\n")[2].partition("```")[0]
        assert isinstance(read_request(example.encode()), kind), command
        assert [item.name for item in fields(kind) if f"`{item.name}`" not in section and item.name != "session"] == []
    for word in (*CODES, *STATES, *(item.name for item in fields(Execution))):
        assert f"`{word}`" in MESSAGING, word


def test_an_execution_there_and_back():
    execution = Execution(
        execution_id=ID,
        state="running",
        plate="Plate:12",
        user_id=3,
        user="ada",
        created=1.5,
        wells_processed=4,
        wells_total=96,
        results=("Plate:15", "FileAnnotation:3"),
    )
    table = json.loads(json.dumps(execution.table()))
    assert Execution.from_table({**table, "new": "in a newer server"}) == execution
    assert (table["status"], table["wells_processed"]) == ("running", 4)


@pytest.mark.parametrize(
    ("state", "status", "ended", "resumable"),
    [
        ("queued", "accepted", False, False),
        ("running", "running", False, False),
        ("completed", "completed", True, False),
        ("failed", "error", True, True),
        ("cancelled", "error", True, True),
        ("interrupted", "error", True, True),
    ],
)
def test_states(state, status, ended, resumable):
    execution = Execution(execution_id=ID, state=state, plate="", user_id=0, user="", created=0)
    assert (execution.table()["status"], execution.has_ended, execution.can_resume) == (status, ended, resumable)
