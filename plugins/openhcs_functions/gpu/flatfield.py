"""The functions of `openhcs_functions.flatfield` on the GPU."""

from openhcs_functions import flatfield
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(flatfield, __name__))
