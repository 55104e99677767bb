"""Processing functions for texts of pipelines, found without plugins."""

from openhcs_core.functions import FunctionError, FunctionSpec, processing_function, spec_of


@processing_function()
def smooth(image, sigma=1.0, mode="reflect"):
    return image


@processing_function(axes="ZYX", planes="one")
def project(image):
    return image.max(axis=0)


@processing_function(outputs=("labels", "table"), inputs=("reference",))
def segment(image, reference=None, sizes=(), options=None):
    return image, {}


def _elsewhere():
    @processing_function()
    def smooth(image, sigma=1.0):
        return image

    smooth.__module__, smooth.__qualname__ = "elsewhere.filters", "smooth"
    return smooth


smooth_elsewhere = _elsewhere()

FUNCTIONS = {spec_of(item).name: spec_of(item) for item in (smooth, project, segment, smooth_elsewhere)}
MODULE = smooth.__module__


def resolve(full_name: str) -> FunctionSpec:
    """As `openhcs_core.plugins.function`."""
    if full_name not in FUNCTIONS:
        raise FunctionError(f"There is no function '{full_name}'.")
    return FUNCTIONS[full_name]
