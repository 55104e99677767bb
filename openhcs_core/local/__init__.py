"""Images in local files, and their export to Imaris; knows nothing of OMERO."""

from openhcs_core.local.errors import LocalError
from openhcs_core.local.export import export_image
from openhcs_core.local.image import LocalImage, open_image
from openhcs_core.local.stack import stacked

__all__ = ["LocalError", "LocalImage", "export_image", "open_image", "stacked"]
