"""What this plugin offers."""

from __future__ import annotations

from openhcs_core.hookspecs import ExecutorSpec, hookimpl
from openhcs_core.pipeline.executors import Executor


@hookimpl
def openhcs_executors() -> list[ExecutorSpec]:
    """The executor of this plugin; dask is imported when it is first used."""

    def dask(workers: int, address: str | None) -> Executor:
        from openhcs_dask.executor import DaskExecutor

        return DaskExecutor(workers, address)

    return [ExecutorSpec("dask", "Workers of dask.distributed, here or of a scheduler", dask)]
