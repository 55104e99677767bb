"""What a server keeps secret."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.keys import KEY_FILE, LOCAL_FILE, ServerKeys, local_session


def test_the_same_after_every_start_and_for_nobody_else(tmp_path):
    folder = tmp_path / "new" / "state"
    keys = ServerKeys.load(folder)
    assert ServerKeys.load(folder).curve == keys.curve
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    assert keys.curve.secret.decode() not in repr(keys)
    assert json.loads((folder / KEY_FILE).read_text())["seal"] not in repr(keys)


def test_what_is_sealed_only_this_server_can_read(tmp_path):
    keys, other = ServerKeys.load(tmp_path / "one"), ServerKeys.load(tmp_path / "other")
    sealed = keys.seal("a session")
    assert b"session" not in sealed
    assert ServerKeys.load(tmp_path / "one").unseal(sealed) == "a session"
    assert other.unseal(sealed) is None
    assert keys.unseal(sealed[:-1]) is None


def test_servers_that_start_at_once_have_the_same(tmp_path):
    start = "import sys; from openhcs_core.execution.keys import *; from pathlib import Path; "
    start += "print(ServerKeys.load(Path(sys.argv[1])).curve.public)"
    started = [
        subprocess.Popen([sys.executable, "-c", start, tmp_path / "state"], stdout=subprocess.PIPE) for _ in range(4)
    ]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1
    assert len(said.pop()) > 40
    assert [path.name for path in (tmp_path / "state").iterdir()] == [KEY_FILE]


def test_keys_that_others_can_read_are_not_used(tmp_path):
    ServerKeys.load(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ExecutionError, match=r"can be read by others\. Run: chmod 600"):
        ServerKeys.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "5", '{"curve": 5, "seal": ""}', '{"curve": "short", "seal": "?"}'])
def test_damaged_keys(tmp_path, text):
    (tmp_path / KEY_FILE).write_text(text)
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(ExecutionError, match=r"is damaged\. Remove it"):
        ServerKeys.load(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExecutionError, match="cannot be read or made: Not a directory"):
        ServerKeys.load(tmp_path / "file" / "state")


def test_who_can_read_the_session_of_a_server_without_omero(tmp_path):
    session = local_session(tmp_path)
    assert len(session) == 64
    assert local_session(tmp_path) == session
    assert (tmp_path / LOCAL_FILE).stat().st_mode & 0o777 == 0o600
