"""What the texts of a request mean. Nothing of them is run: see `openhcs_core.pipeline.source`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.requests import Execute, Watched

if TYPE_CHECKING:
    from openhcs_core.omero.viewers import ViewerRequest
    from openhcs_core.pipeline import Pipeline


def pipeline_of(request: Execute) -> Pipeline:
    """The pipeline of a request; what its configuration sets is part of its text then, so that the text tells all.

    Raises
    ------
    PipelineSourceError
        If a text is none.
    OpenHCSError
        If both texts set a configuration.
    """
    from openhcs_core.pipeline import (
        GlobalPipelineConfig,
        PipelineConfig,
        PipelineSourceError,
        generate_config_code,
        read_config,
        read_pipeline,
    )

    pipeline = read_pipeline(request.pipeline_code)
    if not request.config_code.strip():
        return pipeline
    if pipeline.config is not None:
        raise OpenHCSError("pipeline_code sets config, and there is config_code. Give the configuration once.")
    kind: type[GlobalPipelineConfig] = GlobalPipelineConfig
    try:
        try:
            config = read_config(request.config_code, kind)
        except PipelineSourceError:
            kind = PipelineConfig
            config = read_config(request.config_code, kind)
    except PipelineSourceError as error:
        raise PipelineSourceError(f"config_code: {error}") from None
    return read_pipeline(f"{pipeline.text}\n\n{generate_config_code(config, kind)}")


def viewer_request(request: Watched) -> ViewerRequest | None:
    """Who is to see results; None if nobody.

    Raises
    ------
    OpenHCSError
        If an address or a key is none.
    """
    from openhcs_core.omero.viewers import LISTEN, ViewerRequest

    places = [
        place if "://" in place or place.lower() == LISTEN else f"tcp://{place}"
        for place in request.client_address.replace(",", " ").split()
    ]
    return ViewerRequest.from_inputs({"Viewer_Address": " ".join(places), "Viewer_Key": request.client_key})
