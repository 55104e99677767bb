"""Recorded commands of ``omero``: running them again, and comparing what they print."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bootstrap._cli import OmeroCli

# Every command has a process of its own. They are forked from one which has imported omero-py and the plugins of its
# command line: that takes half a second.
_FORK = """
import gc, json, logging, os, sys, traceback
import omero.all, omero.cli, omero.gateway, omero.scripts
logging.basicConfig(level=logging.WARN)  # as the program "omero" does
cli = omero.cli.CLI(prog="omero")
cli.loadplugins()
gc.freeze()  # a child which ends looks for garbage: not in all this
for line in sys.stdin:
    child = os.fork()
    if not child:
        for number, name in enumerate(("/dev/null", "stdout", "stderr")):
            os.dup2(os.open(name, os.O_CREAT | os.O_TRUNC | os.O_RDWR if number else os.O_RDONLY), number)
        try:
            cli.invoke(json.loads(line))
        except Exception:
            traceback.print_exc()
            sys.stdout.flush()
            os._exit(1)  # Ice, which is still at work then, now and then aborts a process that ends otherwise
        sys.exit(cli.rv)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
# What differs every time: pattern and what is compared instead.
_MASKS = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
    (r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", "<ctime>"),
    (r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}", "<icetime>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(,\d+)?", "<datetime>"),
    (r"\d{4}-\d\d/\d\d/\d\d-\d\d-\d\d\.\d{3}", "<yyyy-MM>/<dd>/<hh-mm-ss.SSS>"),
    (r"(?<=time: )[\d.]+", "<seconds>"),
    (r"^5\.\d+\.\d+$", "<version>"),
    (r"\. Did you mean: '\w+'\?", ""),  # of Python
    (r"https://\S+?/(?=omero-upload/)", "<package index>/"),
    (r"[^ \"]+/process\w+\.dir/", "<tmp>/process<random>.dir/"),
    (r"(?<=processor )\S*/(omero.scripts.serve-<uuid>)\"? .*", r"<proxy \1>"),
    (r".*omero\.util\.Resources\b.*Halted\n", ""),  # of a thread of the client, if it lives that long
    (r"(?<=Traceback \(most recent call last\):\n)(  .*\n)+", "  <frames>\n"),
    (r"(?s)Traceback.*another exception occurred:\n\n(?=Traceback)", ""),
    (r"(?<=serverStackTrace = )\S.*\n(.*\n)*?(?= *serverExceptionClass)", "<java stack>\n\n"),
    (r"(?<=FileAnnotation\)\n\{\n)(    .*\n)+(?=\})", "    <all fields>\n"),
)
# Where an entry starts whose place among the others does not count: a script, a parameter, an output, a line of a log.
_ENTRY = r"\n(?= \d+ +\| /|\(|  \S|outputs:|\t\* [A-Z]\w*=|\t\*\*\*  done|<datetime> )"
_UNORDERED = ("script list", "script params", "script launch", "script serve")
_SMALL = 90  # smaller numbers are compared as they are, larger ones are ids which differ from server to server


class ForkedCli(OmeroCli):
    """``omero`` as `OmeroCli` runs it, but started faster and with `folder` as its current folder."""

    def __enter__(self) -> ForkedCli:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _FORK],
            env=self.environment, cwd=self.folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, *exc: object) -> None:
        with self._process:
            self._process.stdin.close()

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        print(json.dumps(arguments), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        texts = [(self.folder / name).read_text() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(arguments, code, *texts)


class Transcript:
    """Recorded commands, and what they print here.

    Parameters
    ----------
    cases : dict
        ``args``, ``rc``, ``stdout`` and ``stderr`` by name, in the order in which they are run.
    masks : dict of str to str
        What to print instead of texts of this server.
    """

    def __init__(self, cases: dict[str, dict[str, Any]], masks: dict[str, str]) -> None:
        self.cases = cases
        self.masks = [(re.escape(text), name) for text, name in masks.items()] + list(_MASKS)
        self.ids: dict[str, str] = {}  # the id here of each large recorded one
        self.printed: dict[str, dict[str, Any]] = {}

    def run(self, run: Callable, blanks: dict[str, list[str]], uploads: dict[str, str], words: dict[str, str]) -> None:
        """Run all commands.

        Parameters
        ----------
        run : callable
            As `OmeroCli.run`.
        blanks : dict of str to list of str
            Ids for each ``<id>`` in the arguments of a case, as they were when it was recorded.
        uploads : dict of str to str
            Which id a case gave to the script that it uploads.
        words : dict of str to str
            What stands in the arguments of this server for what was masked.
        """
        for name, case in self.cases.items():
            values = iter(blanks.get(name, ()))
            text = re.sub("<id>", lambda match, values=values: next(values), case["args"])
            for word, value in words.items():
                text = text.replace(word, value)
            result = run(*(re.sub(r"\d+$", lambda m: self.ids.get(m[0], m[0]), word) for word in shlex.split(text)))
            self.printed[name] = {
                "rc": result.returncode, "stdout": self.mask(result.stdout), "stderr": self.mask(result.stderr)
            }  # fmt: skip
            if name in uploads:
                self.ids[uploads[name]] = result.stdout.strip().partition(":")[2]

    def mask(self, text: str) -> str:
        """Text without what is different every time."""
        for pattern, name in self.masks:
            text = re.sub(pattern, name, text, flags=re.M)
        return text

    def differences(self, name: str) -> dict[str, tuple[Any, Any]]:
        """What was recorded and what came, of everything that differs."""
        case, got = self.cases[name], self.printed[name]
        return {
            part: (case[part], got[part])
            for part in ("rc", "stdout", "stderr")
            if not (case[part] == got[part] or part != "rc" and self._alike(name, self.mask(case[part]), got[part]))
        }

    def _alike(self, name: str, want: str, got: str) -> bool:
        wanted, found = self._plain(name, want), self._plain(name, got)
        if wanted.endswith("\n..."):  # rows were left out
            rows = iter(found.splitlines())
            return all(any(self._same(line, row) for row in rows) for line in wanted.splitlines()[:-1])
        return self._same(wanted, found)

    @staticmethod
    def _plain(name: str, text: str) -> str:
        """Text without the widths of columns, and in one order where there is none."""
        text = re.sub(r" +$", "", text, flags=re.M).strip("\n")
        if name.startswith(_UNORDERED):
            text = "\n".join(sorted(re.split(_ENTRY, text), key=lambda entry: re.sub(r"\d+|<\w+>", "", entry)))
        return re.sub(r"(?<=\S)  +(?=\||$)", " ", re.sub("--+", "--", text), flags=re.M)

    def _same(self, want: str, got: str) -> bool:
        """Whether two texts are equal but for numbers which stand for each other everywhere."""
        wanted, found = (re.split(r"(\d+|<id>|<n>)", text) for text in (want, got))
        return len(wanted) == len(found) and all(map(self._stands_for, wanted, found))

    def _stands_for(self, want: str, got: str) -> bool:
        if want in ("<id>", "<n>"):
            return got.isdigit()
        if want == got or not (want.isdigit() and got.isdigit()) or int(want) < _SMALL:
            return want == got
        return self.ids.setdefault(want, got) == got
