"""Pipelines: steps over the planes of plates.

What a pipeline is made of, and its form as text. Planning and running are in `openhcs_core.pipeline.compiler` and
`openhcs_core.pipeline.orchestrator`; nothing here loads a plugin before a function is asked for by name.
"""

from openhcs_core.pipeline.code import (
    generate_complete_pipeline_steps_code,
    generate_config_code,
    pipeline_text,
)
from openhcs_core.pipeline.config import INHERIT, Effective, GlobalPipelineConfig, PipelineConfig, StepConfig
from openhcs_core.pipeline.errors import CompileError, PipelineError, PipelineSourceError
from openhcs_core.pipeline.source import Pipeline, read_config, read_pipeline
from openhcs_core.pipeline.step import PLATE, FunctionStep, StepOutput
from openhcs_core.pipeline.viewing import (
    FijiStreamingConfig,
    LazyFijiStreamingConfig,
    LazyNapariStreamingConfig,
    LazyStreamingConfig,
    NapariStreamingConfig,
    StreamingConfig,
)

__all__ = [
    "INHERIT",
    "PLATE",
    "CompileError",
    "Effective",
    "FijiStreamingConfig",
    "FunctionStep",
    "GlobalPipelineConfig",
    "LazyFijiStreamingConfig",
    "LazyNapariStreamingConfig",
    "LazyStreamingConfig",
    "NapariStreamingConfig",
    "Pipeline",
    "PipelineConfig",
    "PipelineError",
    "PipelineSourceError",
    "StepConfig",
    "StepOutput",
    "StreamingConfig",
    "generate_complete_pipeline_steps_code",
    "generate_config_code",
    "pipeline_text",
    "read_config",
    "read_pipeline",
]
