"""Reads hostile texts in a process in which every event that Python audits is listened to.

`python -m tests.pipeline.listening` prints the events, by how much the memory of the process has grown at most, and
what was said of each text and the time of the processor it took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from openhcs_core import pipeline
from openhcs_core.pipeline.source import NO_FILE
from tests.pipeline.hostile import HEAD, SHORT
from tests.pipeline.hostile_large import LARGE
from tests.pipeline.texts import resolve

TEXTS = {**SHORT, **{f"large-{name}": HEAD + code for name, code in LARGE.items()}}


def said_of(text: str) -> Any:
    """Line, column and message of the refusal; None if there was none; another error as text."""
    try:
        pipeline.read_pipeline(text, resolve)
    except pipeline.PipelineSourceError as error:
        return [error.line, error.column, str(error)]
    except BaseException as error:
        return repr(error)
    return None


def memory_kb(kind: str) -> int:
    """Memory of this process: "VmRSS" now, "VmHWM" at most until now."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind)]
    return int(line.split()[1])


def main(texts: dict[str, str]) -> None:
    """Read texts and print the report."""
    for text in ("pipeline_steps = [", f"{HEAD}pipeline_steps = [FunctionStep(smooth, save=1)]"):  # whatever loads late
        said_of(text)
    events: list[str] = []
    listening = False

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        looks = event in ("builtins.id", "object.__getattr__")
        parses = event in ("compile", "open") and NO_FILE in arguments
        if listening and not looks and not parses:
            events.append(f"{event} {arguments!r}")

    sys.addaudithook(listen)
    modules, before = set(sys.modules), memory_kb("VmRSS")
    read = {}
    for name, text in texts.items():
        start = time.process_time()
        listening = True
        said = said_of(text)
        listening = False
        read[name] = {"said": said, "seconds": time.process_time() - start}
    grown = memory_kb("VmHWM") - before
    new = sorted(set(sys.modules) - modules)
    json.dump({"events": events, "modules": new, "grown_kb": grown, "read": read}, sys.stdout)


if __name__ == "__main__":
    main(TEXTS)
