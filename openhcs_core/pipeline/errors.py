"""Errors of pipelines."""

from __future__ import annotations

from collections.abc import Sequence

from openhcs_core.errors import OpenHCSError


class PipelineError(OpenHCSError):
    """A pipeline or its configuration makes no sense."""


class PipelineSourceError(PipelineError):
    """Text that is no pipeline.

    Attributes
    ----------
    line, column : int
        Where, both from 1; 0 if nowhere in particular.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.line, self.column = line, column


class CompileError(PipelineError):
    """Everything that is wrong with a pipeline for a plate.

    Attributes
    ----------
    problems : sequence of str
        All of them, each naming the step, the well where it matters, and what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The pipeline cannot run on this plate; {len(problems)} problems:\n{listed}")
        self.problems = tuple(problems)
