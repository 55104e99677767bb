"""The functions of `openhcs_functions.projection` on the GPU."""

from openhcs_functions import projection
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(projection, __name__))
