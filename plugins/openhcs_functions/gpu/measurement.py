"""The functions of `openhcs_functions.measurement` on the GPU."""

from openhcs_functions import measurement
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(measurement, __name__))
