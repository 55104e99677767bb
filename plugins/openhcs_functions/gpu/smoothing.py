"""The functions of `openhcs_functions.smoothing` on the GPU."""

from openhcs_functions import smoothing
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(smoothing, __name__))
