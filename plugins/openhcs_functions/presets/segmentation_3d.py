# Nuclei in stacks (channel 1): segmented in space, and measured in all channels
from openhcs_core.pipeline import PLATE, FunctionStep, StepOutput
from openhcs_functions.measurement import measure_objects_3d
from openhcs_functions.segmentation import blobs_3d

pipeline_steps = [
    FunctionStep(
        (blobs_3d, {"diameter": 16.0, "min_volume": 60}),
        name="nuclei",
        variable_components=("z_index",),
        select={"channel": [1]},
    ),
    FunctionStep(
        (measure_objects_3d, {"labels": StepOutput("nuclei")}),
        name="measurements",
        variable_components=("z_index",),
        input_source=PLATE,
    ),
]
