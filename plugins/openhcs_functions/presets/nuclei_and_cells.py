# Nuclei (channel 1) and cells around them (channel 2): segmented, and measured in all channels
from openhcs_core.pipeline import PLATE, FunctionStep, StepOutput
from openhcs_functions.labelling import keep_by_area
from openhcs_functions.measurement import measure_objects
from openhcs_functions.smoothing import gaussian
from openhcs_functions.thresholds import threshold
from openhcs_functions.watershed import seeded_watershed, split_touching

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
    FunctionStep(
        (seeded_watershed, {"seeds": StepOutput("nuclei"), "method": "li"}),
        name="cells",
        input_source=PLATE,
        select={"channel": [2]},
    ),
    FunctionStep((measure_objects, {"labels": StepOutput("nuclei")}), name="nuclei_measurements", input_source=PLATE),
    FunctionStep((measure_objects, {"labels": StepOutput("cells")}), name="cell_measurements", input_source=PLATE),
]
