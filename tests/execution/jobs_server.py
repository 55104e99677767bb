"""A process that has a queue, to be killed: ``python -m tests.execution.jobs_server FOLDER COUNT``.

Some of its executions end; those that start when the first hundred are there wait to be killed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.execution.jobs_world import MANY, World


def main(folder: str, count: str) -> None:
    world = World(Path(folder), **MANY)
    for number in range(int(count)):
        if number == 100:
            Path(f"{world.started_file}.closed").touch()
        world.submit("# gate")
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
