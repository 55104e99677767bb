# Nuclei (channel 1): segmented plane by plane, measured in all channels, counted per field
from openhcs_core.pipeline import PLATE, FunctionStep, StepOutput
from openhcs_functions.labelling import keep_by_area
from openhcs_functions.measurement import count_objects, measure_objects
from openhcs_functions.smoothing import gaussian
from openhcs_functions.thresholds import threshold
from openhcs_functions.watershed import split_touching

pipeline_steps = [
    FunctionStep(
        [
            (gaussian, {"sigma": 1.0}),
            (threshold, {"method": "otsu"}),
            (split_touching, {"min_distance": 8}),
            (keep_by_area, {"min_area": 100}),
        ],
        name="nuclei",
        select={"channel": [1]},
    ),
    FunctionStep(count_objects, name="counts"),
    FunctionStep((measure_objects, {"labels": StepOutput("nuclei")}), name="measurements", input_source=PLATE),
]
