"""Texts that are no pipelines are refused with line and column, at once, and nothing of them is run."""

import json
import subprocess
import sys

import pytest

from openhcs_core.pipeline import PipelineSourceError, read_pipeline
from tests.pipeline.hostile import CANARY, HEAD
from tests.pipeline.listening import TEXTS
from tests.pipeline.texts import resolve

MAX_KB = 50_000


def test_the_beginning_of_the_texts_is_a_pipeline():
    text = (
        f"{HEAD}x = 1\npipeline_steps = [FunctionStep((smooth, {{'sigma': x}}))]\npipeline_steps.append(pipeline_step)"
    )
    with pytest.raises(PipelineSourceError, match="'pipeline_step' is unknown"):
        read_pipeline(text, resolve)
    assert len(read_pipeline(text.rpartition("\n")[0], resolve).steps) == 1


def listened(folder, code):
    """The report of a process that runs some code in an empty folder."""
    root = __file__.rpartition("/tests/")[0]
    code = f"import sys; sys.path.insert(0, {root!r}); from tests.pipeline import listening\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Folder and report of a process that has read all texts."""
    folder = tmp_path_factory.mktemp("hostile")
    return folder, listened(folder, "listening.main(listening.TEXTS)")


def test_nothing_is_run(report):
    folder, seen = report
    assert seen["events"] == []
    assert seen["modules"] == []
    assert not (folder / CANARY).exists()
    assert list(folder.iterdir()) == []


def test_all_of_them_take_little_memory(report):
    assert report[1]["grown_kb"] < MAX_KB


def test_every_text_is_refused_with_line_and_column(report):
    _, seen = report
    assert len(TEXTS) > 200
    assert list(seen["read"]) == list(TEXTS)
    for name, result in seen["read"].items():
        assert isinstance(result["said"], list), f"{name}: {result['said']}"
        line, column, message = result["said"]
        lines = TEXTS[name].split("\n")
        assert 1 <= line <= len(lines), name
        assert 1 <= column <= len(lines[line - 1]) + 1, name
        assert len(message) < 1000, name


def test_the_listener_hears(tmp_path):
    seen = listened(
        tmp_path,
        "listening.pipeline.read_pipeline = lambda text, resolve: open('/dev/null').close()\n"
        "listening.main({'a': 'x = 1'})",
    )
    assert [event.split()[0] for event in seen["events"]] == ["open"]
    assert seen["read"]["a"]["said"] is None


def test_the_memory_is_seen(tmp_path):
    seen = listened(
        tmp_path,
        f"listening.pipeline.read_pipeline = lambda text, resolve: b'x' * (1024 * {MAX_KB}) and None\n"
        "listening.main({'a': 'x = 1'})",
    )
    assert seen["grown_kb"] > 0.9 * MAX_KB
