"""The functions of `openhcs_functions.thresholds` on the GPU."""

from openhcs_functions import thresholds
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(thresholds, __name__))
