"""The library behind the OMERO scripts: Imaris export, pipelines and live viewing.

Importing it imports nothing else: an OMERO script may do so while its parameters are read.
"""

from openhcs_core._version import __version__

__all__ = ["__version__"]
