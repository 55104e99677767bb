"""A plugin with functions for executions of tests, found as any other: see `installed`. Its text is `pipeline`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from openhcs_core.functions import GroupContext, processing_function
from openhcs_core.hookspecs import hookimpl
from tests.execution.serving import ROOT

NAME = "functions_of_executions"
LIMIT_S = 120.0


@processing_function(outputs=("image", "labels"), context=True)
def gated(image, context: GroupContext, folder: str):
    """Leaves a file for each well it works on; all but the first well wait there for the file "go"."""
    well = context.addresses[0].well
    mark = Path(folder, f"{well} {os.getpid()} {time.monotonic_ns()}")
    mark.touch()
    limit = time.monotonic() + LIMIT_S
    while well != "A01" and not Path(folder, "go").exists():
        if time.monotonic() > limit:
            raise TimeoutError("nobody said go")
        time.sleep(0.01)
    return image, (image > 0).astype(np.uint16)


@processing_function()
def gpu_is_lost(image):
    """What a function for the GPU raises when that has fallen off the bus."""

    class CUDARuntimeError(RuntimeError):
        """As that of ``cupy_backends.cuda.api.runtime``."""

    raise CUDARuntimeError("cudaErrorDeviceUnavailable: CUDA-capable device(s) is/are busy or unavailable")


@hookimpl
def openhcs_functions():
    """The functions."""
    return [gated, gpu_is_lost]


def installed(folder: Path) -> dict[str, str]:
    """Environment for a process that finds the plugin; `folder` is for its entry point."""
    about = folder / f"{NAME}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[openhcs_omero]\n{NAME} = {__name__}\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def pipeline(function: str = "gated", step: str = "made", **arguments) -> str:
    """Text of a pipeline with one of the functions."""
    return (
        f"from openhcs_core.pipeline import FunctionStep\nfrom {__name__} import {function}\n"
        f"pipeline_steps = [FunctionStep(({function}, {arguments!r}), name={step!r})]\n"
    )
