"""The functions of `openhcs_functions.background` on the GPU."""

from openhcs_functions import background
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(background, __name__))
