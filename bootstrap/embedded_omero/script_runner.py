"""Runs scripts with plain Python values, for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import omero
from omero.gateway import BlitzGateway
from omero.rtypes import rbool, rdouble, rfloat, rint, rlist, rlong, robject, rset, rstring, unwrap, wrap

_CONVERTERS = (
    (omero.RBool, bool, rbool),
    (omero.RString, str, rstring),
    (omero.RInt, int, rint),
    (omero.RLong, int, rlong),
    (omero.RFloat, (int, float), rfloat),
    (omero.RDouble, (int, float), rdouble),
    (omero.RObject, omero.model.IObject, robject),
)


@dataclass(frozen=True)
class ScriptRun:
    """A script which has ended.

    Attributes
    ----------
    code : int
        Exit status of its process: 0 if it went well.
    outputs : dict
        Plain values by name; objects are those of omero.model.
    stdout, stderr : str
        What it printed.
    """

    code: int
    outputs: dict[str, Any]
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The output ``Message``, which OMERO.web shows."""
        return self.outputs.get("Message", "")


class Script:
    """A script on a server. Call it to run it: ``Script(conn, id)(IDs=[1, 2])``.

    Parameters
    ----------
    conn : BlitzGateway
        Of the user in whose session it runs.
    id : int
    timeout : float
        Seconds after which a run is given up.

    Attributes
    ----------
    params : omero.grid.JobParams
        What the script says about itself.
    """

    def __init__(self, conn: BlitzGateway, id: int, timeout: float = 60) -> None:
        self.conn, self.id, self.timeout = conn, id, timeout
        self._service = conn.getScriptService()
        self.params = self._service.getParams(id)

    def __call__(self, inputs: Mapping[str, Any] | None = None, /, **more: Any) -> ScriptRun:
        """Run it to its end.

        Parameters
        ----------
        inputs : mapping, optional
            Inputs by name; those whose names are identifiers can be given as keywords.

        Raises
        ------
        TypeError
            If the script has no such input, or not of that type.
        omero.ValidationException
            If the server refuses the inputs: one is missing, out of bounds or not among the values to choose from.
        TimeoutError
            If it did not end in time; it is terminated.
        """
        return self.finish(self.start(inputs, **more))

    def start(self, inputs: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Start it; answers its process, for `finish`. Arguments and errors as of a call."""
        values = {name: self._convert(name, value) for name, value in {**(inputs or {}), **more}.items()}
        return self._service.runScript(self.id, values, None)

    def finish(self, process: Any) -> ScriptRun:
        """Wait for the end of a process and collect what it has left."""
        try:
            code = self._wait(process)
            results = process.getResults(0)
        finally:
            process.close(False)  # which ends it if it still runs
        texts = [self._text(results.pop(name, None)) for name in ("stdout", "stderr")]
        return ScriptRun(code, {name: unwrap(value) for name, value in results.items()}, *texts)

    def _convert(self, name: str, value: Any) -> omero.RType:
        if name not in self.params.inputs:
            raise TypeError(f"The script has no input {name!r}; its inputs are {', '.join(self.params.inputs)}.")
        try:
            return to_rtype(value, self.params.inputs[name].prototype)
        except TypeError as problem:
            raise TypeError(f"Input {name!r}: {problem}") from None

    def _wait(self, process: Any) -> int:
        deadline = time.monotonic() + self.timeout
        while (code := process.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Script {self.id} did not end within {self.timeout} s.")
            time.sleep(0.02)
        return code.val

    def _text(self, file: omero.RObject | None) -> str:
        if file is None:  # nothing was printed
            return ""
        chunks = self.conn.getObject("OriginalFile", file.val.id.val).getFileInChunks()
        return b"".join(chunks).decode(errors="replace")


def to_rtype(value: Any, prototype: omero.RType | None) -> omero.RType:
    """A plain value as an input of the type of ``prototype``; what is an RType already stays as it is.

    Raises
    ------
    TypeError
        If it is of another type.
    """
    if isinstance(value, omero.RType):
        return value
    if isinstance(prototype, (omero.RList, omero.RSet)):
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise TypeError(f"a list is expected, not {value!r}")
        element = prototype.val[0] if prototype.val else None
        return (rlist if isinstance(prototype, omero.RList) else rset)([to_rtype(entry, element) for entry in value])
    for kind, accepted, convert in _CONVERTERS:
        if isinstance(prototype, kind):
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not omero.RBool):
                raise TypeError(f"{kind.__name__} is expected, not {value!r}")
            return convert(value)
    return wrap(value)
