"""Run a setup.py in the current folder, compiling the files of its extension side by side.

    python compile.py bdist_wheel --dist-dir DIR

Setuptools compiles the sources of one extension one after the other. Here its compiler only queues them; they are
compiled on all cores when the linker asks for the result. Each finished file is one line ``n of N files compiled`` on
standard output; everything else that is printed goes to standard error.
"""

from __future__ import annotations

import os
import runpy
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

del sys.path[0]  # this folder: its files must not stand in for packages of the same name

import setuptools  # noqa: E402, F401, I001  before distutils, which it replaces by its own
from distutils import unixccompiler  # noqa: E402


def main() -> None:
    """Queue, compile, link: see the module's docstring."""
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    compiler: Any = unixccompiler.UnixCCompiler
    compile_one, link = compiler._compile, compiler.link
    queue: list[Future[None]] = []

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:

        def compile_later(self: Any, *args: Any, **kwargs: Any) -> None:
            queue.append(pool.submit(compile_one, self, *args, **kwargs))

        def compile_all_and_link(self: Any, *args: Any, **kwargs: Any) -> None:
            try:
                for count, job in enumerate(as_completed(queue), 1):
                    job.result()
                    print(f"{count} of {len(queue)} files compiled", file=report)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            link(self, *args, **kwargs)

        compiler._compile = compile_later
        compiler.link = compile_all_and_link
        sys.argv[0] = "setup.py"
        runpy.run_path("setup.py", run_name="__main__")


if __name__ == "__main__":
    main()
