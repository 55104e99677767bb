"""Logs: of limited size, without secrets, and never a reason for anything else to fail."""

from __future__ import annotations

import logging
import stat

import pytest

from openhcs_core.execution import logs
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.logs import ExecutionLog, open_server_log, read_log
from openhcs_core.execution.places import Folders, checked_id, folders
from openhcs_core.settings import Settings

ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
KEY = "9d3d4f4e-1111-4222-8333-444455556666"


def text(path):
    return path.read_bytes().decode()


def test_what_is_beyond_the_limit_is_counted(tmp_path):
    path = tmp_path / "log"
    log = ExecutionLog(path, limit=100)
    for _ in range(10):
        log.write(b"0123456789012345678\n")
    log.close()
    assert text(path) == "0123456789012345678\n" * 5 + "--- 100 bytes more are not in this log.\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_attempts_add_to_it_within_one_limit(tmp_path):
    for number in range(3):
        log = ExecutionLog(tmp_path / "log", limit=50)
        log.say(f"attempt {number}")
        log.write(b"x" * 10)
        log.close()
    assert text(tmp_path / "log").startswith("--- attempt 0\nxxxxxxxxxx\n--- attempt 1\nxxxxxxxxxx\n")
    assert "bytes more are not in this log" in text(tmp_path / "log")


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_no_secret_gets_into_it_however_it_comes(tmp_path, monkeypatch, size):
    monkeypatch.setattr(logs, "LONGEST_LINE", 60)
    said = f"joined {KEY} now\n{KEY}{KEY}\n".encode() + b"y" * 40 + f"{KEY} and a line without an end {KEY}".encode()
    log = ExecutionLog(tmp_path / "log", [KEY, ""])
    for begin in range(0, len(said), size):
        log.write(said[begin : begin + size])
    log.close()
    assert KEY not in text(tmp_path / "log")
    assert text(tmp_path / "log").count("[hidden]") == 5
    assert text(tmp_path / "log").startswith("joined [hidden] now\n")


def test_a_full_disk_costs_lines_only():
    log = ExecutionLog(logs.Path("/dev/full"))
    log.write(b"lost\n" * 100)
    log.say("also")
    log.close()


def test_a_log_goes_on_when_there_is_room_again(tmp_path):
    folder = tmp_path / "logs"
    log = ExecutionLog(folder / "log")
    log.write(b"lost\n")
    folder.mkdir()
    log.write(b"kept\n")
    log.close()
    assert text(folder / "log") == "kept\n--- 5 bytes more are not in this log.\n"


def test_links_are_not_followed(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    log = ExecutionLog(tmp_path / "log")
    log.write(b"line\n")
    log.close()
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "elsewhere").write_text("of somebody else")
    assert read_log(tmp_path / "log")["text"] == ""


@pytest.fixture
def server_log(tmp_path, monkeypatch):
    """Function which opens the log of a server in a folder, and gives a logger that writes into it."""
    handlers = []
    logger = logging.Logger("openhcs_core.tests")

    def make(folder=tmp_path):
        handlers.append(open_server_log(folder))
        logger.addHandler(handlers[-1])
        return logger

    yield make
    for handler in handlers:
        handler.close()


def test_the_log_of_the_server_is_rotated(server_log, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "SERVER_LOG_BYTES", 1000)
    monkeypatch.setattr(logs, "SERVER_LOGS", 2)
    logger = server_log()
    for number in range(100):
        logger.warning("line %d", number)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["execution_server.log", "execution_server.log.1", "execution_server.log.2"]
    found = [path.stat() for path in tmp_path.iterdir()]
    assert all(each.st_size <= 1000 and stat.S_IMODE(each.st_mode) == 0o600 for each in found)
    assert text(tmp_path / "execution_server.log").endswith("WARNING openhcs_core.tests: line 99\n")


def test_the_log_of_the_server_survives_a_full_disk(server_log, tmp_path, capfd):
    folder = tmp_path / "logs"
    logger = server_log(folder)
    logger.warning("lost: the folder is gone")
    folder.mkdir()
    (handler,) = logger.handlers
    handler.baseFilename = "/dev/full"
    logger.warning("lost: the disk is full")
    handler.baseFilename = str(folder / "execution_server.log")
    logger.warning("kept")
    logger.warning("kept, too")
    lines = [line.split(" ", 3)[3] for line in text(folder / "execution_server.log").splitlines()]
    assert lines == [
        "openhcs_core.tests: kept",
        "openhcs_core.execution.logs: 2 lines could not be written to this log.",
        "openhcs_core.tests: kept, too",
    ]
    assert capfd.readouterr() == ("", "")


def test_a_log_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "PART_BYTES", 10)
    whole = "aé€😀" * 20
    (tmp_path / "log").write_text(whole, encoding="utf-8")
    size = len(whole.encode())
    parts, offset = [], 0
    while offset < size:
        part = read_log(tmp_path / "log", offset)
        assert (part["offset"], part["size"]) == (offset, size)
        parts.append(part["text"])
        offset = part["next"]
    assert "".join(parts) == whole
    assert read_log(tmp_path / "log", size + 5) == {"text": "", "offset": size, "next": size, "size": size}
    last = read_log(tmp_path / "log")
    assert whole.endswith(last["text"])
    assert last["next"] == size
    assert 5 < len(last["text"].encode()) <= 10


def test_what_is_no_text_can_be_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "PART_BYTES", 8)
    (tmp_path / "log").write_bytes(b"\xff\x00\xf0\x9f" + b"\x80" * 20 + b"\xf0\x9f")
    offset, rounds = 0, 0
    while offset < 26:
        offset = read_log(tmp_path / "log", offset)["next"]
        rounds += 1
        assert rounds < 10
    assert read_log(tmp_path / "none") == {"text": "", "offset": 0, "next": 0, "size": 0}


@pytest.mark.parametrize(
    "text",
    ["", "..", "../../etc/passwd", "/etc/passwd", f"{ID}/../x", ID.upper(), f"{{{ID}}}", ID.replace("-", ""), None, 5,
     f"urn:uuid:{ID}", f" {ID}", f"{ID}\n", f"{ID}\0"],
)  # fmt: skip
def test_what_is_no_id_does_not_get_into_a_path(tmp_path, text):
    with pytest.raises(ExecutionError, match="UUID") as caught:
        Folders(tmp_path, tmp_path).execution_log(text)
    assert caught.value.code == "unknown"


def test_an_id_gets_into_the_path_as_it_is(tmp_path):
    assert checked_id(ID) == ID
    assert Folders(tmp_path, tmp_path / "logs").execution_log(ID) == tmp_path / "logs" / "executions" / f"{ID}.log"


def test_folders_are_those_of_the_settings_else_of_the_user(tmp_path, monkeypatch):
    given = folders(Settings(server_state=tmp_path / "a" / "state", server_logs=tmp_path / "b"))
    assert (given.state, given.logs) == (tmp_path / "a" / "state", tmp_path / "b")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("openhcs_core.execution.places.SYSTEM_STATE", tmp_path / "not there")
    monkeypatch.setattr("openhcs_core.execution.places.SYSTEM_LOGS", tmp_path)
    found = folders(Settings())
    assert (found.state, found.logs) == (tmp_path / "xdg" / "openhcs", tmp_path)
    assert stat.S_IMODE(found.state.stat().st_mode) == 0o700
    assert (tmp_path / "executions").is_dir()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExecutionError, match="server_logs in openhcs.toml"):
        folders(Settings(server_state=tmp_path, server_logs=tmp_path / "file" / "logs"))
