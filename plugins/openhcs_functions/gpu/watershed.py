"""The functions of `openhcs_functions.watershed` on the GPU."""

from openhcs_functions import watershed
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(watershed, __name__))
