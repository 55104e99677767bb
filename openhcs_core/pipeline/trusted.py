"""Pipeline texts that are run as Python: for administrators of OMERO, where a site allows it.

The code runs in a fresh interpreter which gets nothing of this process: no session, no environment, no files. What
comes back is the declarative text of the steps it has built, and that is read like any other text.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from openhcs_core.pipeline.code import CONFIG, STEPS, pipeline_text
from openhcs_core.pipeline.errors import PipelineError
from openhcs_core.pipeline.scan import MAX_TEXT
from openhcs_core.pipeline.source import Pipeline, read_pipeline

MAX_ERROR = 2000
"""Characters shown of what the code has written to its standard error."""


def read_trusted_pipeline(text: str, *, allowed: bool, timeout: float = 60) -> Pipeline:
    """The pipeline that Python code builds; it sets ``pipeline_steps`` and may set ``config``.

    Parameters
    ----------
    text : str
        Any Python.
    allowed : bool
        Whether the site allows trusted code (setting ``trusted_pipelines``) *and* the user is an administrator.
    timeout : float
        Seconds for the code.

    Returns
    -------
    Pipeline
        Its text is the declarative one.

    Raises
    ------
    PipelineError
        If that is not allowed, the code fails or takes too long, or what it has built is no pipeline.
    """
    if not allowed:
        raise PipelineError(
            "This pipeline is code. Code is run for administrators of OMERO only, and only if the site sets "
            "trusted_pipelines = true in openhcs.toml. State the pipeline without computing anything."
        )
    with tempfile.TemporaryDirectory(prefix="openhcs-trusted-") as folder:
        code, made, errors = (Path(folder, name) for name in ("pipeline.py", "declared.py", "errors.txt"))
        code.write_text(text, encoding="utf-8")
        status = _run([sys.executable, "-I", "-m", __name__, str(code), str(made)], folder, errors, timeout)
        if status is None:
            raise PipelineError(f"The code of the pipeline has not finished within {timeout:g} s and was stopped.")
        if status or not made.is_file():
            said = errors.read_text(encoding="utf-8", errors="replace").strip()[-MAX_ERROR:]
            raise PipelineError(f"The code of the pipeline has failed (exit status {status}):\n{said}")
        if made.stat().st_size > 4 * MAX_TEXT:
            raise PipelineError("The code of the pipeline has built too much: its text is too long.")
        return read_pipeline(made.read_text(encoding="utf-8"))


def _run(command: list[str], folder: str, errors: Path, timeout: float) -> int | None:
    """Exit status; None if it took too long. Nothing that it has started in its process group stays."""
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "TMPDIR": folder, "HOME": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _main(code: str, made: str) -> None:
    """In the fresh interpreter: run the code, and write the text of what it has built."""
    names = runpy.run_path(code)
    if STEPS not in names:
        raise PipelineError(f"The code sets no {STEPS}.")
    Path(made).write_text(pipeline_text(names[STEPS], names.get(CONFIG)), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
