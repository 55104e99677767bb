# Maximum along z of every channel
from openhcs_core.pipeline import FunctionStep
from openhcs_functions.projection import max_projection

pipeline_steps = [
    FunctionStep(max_projection, variable_components=("z_index",)),
]
