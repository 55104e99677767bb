"""What a person asks of a pipeline: the parameters of the script ``Run_Pipeline.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omero.gateway import BlitzGateway

from openhcs_core.omero.attachments import download
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.inputs import selected, well_names
from openhcs_core.omero.viewers import ViewerRequest

OUTPUTS = ("images", "masks", "tables")
"""What can be saved in OMERO."""

LARGEST_TEXT = 1 << 20


@dataclass(frozen=True)
class PipelineRequest:
    """One request for a run.

    Attributes
    ----------
    data_type, ids
        What is selected.
    preset : str
        Name of a shipped pipeline; counts if there is neither file nor text.
    file_annotation : int or None
        Id of a file annotation with the text of the pipeline.
    text : str
        Of the pipeline; empty if it is elsewhere.
    wells : tuple of str
        Names such as "B03"; all wells if empty.
    workers : int
    outputs : tuple of str
        Some of `OUTPUTS`.
    resume : bool
        Whether an interrupted run of the same pipeline is gone on with.
    viewers : ViewerRequest or None
        Who is to see results while they are made.
    """

    data_type: str
    ids: tuple[int, ...]
    preset: str = ""
    file_annotation: int | None = None
    text: str = ""
    wells: tuple[str, ...] = ()
    workers: int = 1
    outputs: tuple[str, ...] = OUTPUTS
    resume: bool = True
    viewers: ViewerRequest | None = None

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> PipelineRequest:
        """The request behind the inputs of a script, unwrapped.

        Raises
        ------
        OmeroError
            If an input makes no sense by itself; nothing of OMERO is looked at yet.
        """
        data_type, ids = selected(inputs)
        text = (inputs.get("Pipeline_Text") or "").strip()
        file = str(inputs.get("File_Annotation") or "").strip()
        if file and not file.isdecimal():
            raise OmeroError(f"File_Annotation is '{file}'. Give the id of a file annotation, a number.")
        if file and text:
            raise OmeroError("give the pipeline as File_Annotation or as Pipeline_Text, not both.")
        preset = inputs.get("Pipeline") or ""
        if not (file or text or preset):
            raise OmeroError("there is no pipeline. Choose one, or give File_Annotation or Pipeline_Text.")
        outputs = tuple(name for name in OUTPUTS if inputs.get(f"Save_{name.capitalize()}", True))
        if not outputs:
            raise OmeroError("nothing is to be saved. Switch on Save_Images, Save_Masks or Save_Tables.")
        workers = inputs.get("Workers") or 1
        if workers < 1:
            raise OmeroError(f"Workers is {workers}. Give a number from 1.")
        return cls(
            data_type=data_type,
            ids=ids,
            preset=preset,
            file_annotation=int(file) if file else None,
            text=text,
            wells=well_names(inputs),
            workers=workers,
            outputs=outputs,
            resume=bool(inputs.get("Resume", True)),
            viewers=ViewerRequest.from_inputs(inputs),
        )

    @property
    def origin(self) -> str:
        """For people: where the pipeline comes from."""
        if self.text:
            return "the pipeline of Pipeline_Text"
        if self.file_annotation is not None:
            return f"the pipeline of FileAnnotation:{self.file_annotation}"
        return f"the pipeline '{self.preset}'"


def pipeline_file(conn: BlitzGateway, annotation_id: int) -> str:
    """The text of an attached file.

    Raises
    ------
    OmeroError
        If it does not exist, may not be seen, is too long, or no text.
    """
    annotation = conn.getObject("FileAnnotation", annotation_id)
    if annotation is None:
        raise OmeroError(f"FileAnnotation:{annotation_id} does not exist, or you may not see it.")
    file = annotation.getFile()
    if file.getSize() > LARGEST_TEXT:
        raise OmeroError(f"{file.getName()} has {file.getSize()} bytes: that is no pipeline.")
    try:
        return download(conn, file.getId(), conn.SERVICE_OPTS).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OmeroError(f"{file.getName()} is no text in UTF-8: that is no pipeline.") from None
