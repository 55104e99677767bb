"""What the set-up says, how it runs other programs, and how it fails. Standard library only."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

#: Where the output does not go to a terminal, progress is a new line at most this often (seconds).
QUIET_SECONDS = 15.0
#: How much of a failed program's output is shown (lines).
TAIL_LINES = 25


class SetupError(Exception):
    """Something the person at the keyboard can put right; the message says how."""


def say(message: str) -> None:
    """Print one line of the set-up's own."""
    print(f"[setup] {message}", flush=True)


class Progress:
    """What is being done, how far it is, and for how long: one line on a terminal, few lines elsewhere.

    Parameters
    ----------
    title : str
        What is being done.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stdout.isatty()
        say(f"{title} ...")

    def update(self, detail: str) -> None:
        """Show `detail` beside the title, with the elapsed time."""
        now = time.monotonic()
        if self._terminal:
            print(f"\r\x1b[K[setup]   {detail[:90]} ({_clock(now - self._start)})", end="", flush=True)
        elif now - self._shown >= QUIET_SECONDS:
            self._shown = now
            say(f"  {detail} ({_clock(now - self._start)})")

    def done(self) -> None:
        """Say that it is finished, and how long it took."""
        if self._terminal:
            print("\r\x1b[K", end="")
        say(f"{self._title}: done in {_clock(time.monotonic() - self._start)}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s" if seconds >= 60 else f"{seconds:.0f} s"


def run(
    command: Sequence[str | Path],
    failure: str,
    progress: Progress | None = None,
    interesting: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a program to its end, showing those of its lines that begin with one of `interesting`.

    Parameters
    ----------
    command : sequence of str or Path
        The program and its arguments.
    failure : str
        What the error says if it does not succeed: what failed and what to do.
    progress : Progress, optional
        Where the interesting lines go.
    interesting : iterable of str
        Beginnings of the lines to show.
    env, cwd
        As for :class:`subprocess.Popen`.

    Raises
    ------
    SetupError
        It could not start or ended with a status other than 0; the message holds the end of its output.
    """
    lines: list[str] = []
    prefixes = tuple(interesting)
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SetupError(f"{failure}\n{error}") from error
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if progress is not None and line.startswith(prefixes):
                    progress.update(lines[-1])
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise SetupError("\n".join([f"{failure} (exit status {process.returncode})", *lines[-TAIL_LINES:]]))
