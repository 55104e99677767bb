"""The functions of `openhcs_functions.intensity` on the GPU."""

from openhcs_functions import intensity
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(intensity, __name__))
