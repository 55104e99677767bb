"""Programs of a site, on hosts of `tests.two_hosts`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


class Site:
    """Programs on hosts, with the same environment; what they write is in files beside each other."""

    def __init__(self, folder, **environment):
        settings = folder / "openhcs.toml"
        settings.write_text(f'scratch = "{folder}"\n')  # on these hosts everybody is root, and would share its scratch
        self.folder = folder
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT), "OPENHCS_CONFIG": str(settings)}

    def start(self, host, *command, **environment):
        """Start a module of Python on a host, with arguments."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with (self.folder / f"{host.name} {command[0]}.log").open("w") as log:
            return host.start(
                [sys.executable, "-m", *command], stderr=log, env=self._environment | environment, **pipes
            )

    def answer(self, program, **question):
        """What a program says next, or to a question."""
        if question:
            self.ask(program, **question)
        return json.loads(self.line(program))

    def line(self, program):
        """The next line that a program says."""
        ready, _, _ = select.select([program.stdout], [], [], PATIENCE_S)
        line = program.stdout.readline() if ready else ""
        assert line, "".join(log.read_text() for log in self.folder.glob("*.log"))
        return line

    def ask(self, program, **question):
        """Put a question to a program."""
        program.stdin.write(json.dumps(question) + "\n")
        program.stdin.flush()

    def at_work(self, host):
        """Whether a worker of the host is in a well."""
        return {int(file.name) for file in self.folder.glob("[0-9]*")} & set(host.programs())
