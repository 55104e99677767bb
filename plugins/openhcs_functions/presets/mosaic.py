# One image per well of its fields, laid out by the positions of the stage
from openhcs_core.pipeline import FunctionStep
from openhcs_functions.stitching import stitch_fields

pipeline_steps = [
    FunctionStep(stitch_fields, variable_components=("site",)),
]
