"""Fixtures for all tests: an OMERO to talk to comes from the embedded OMERO's own plugin."""

import embedded_omero.slices  # noqa: F401  (first of all: it keeps omero-py's temporary files out of the home folder)

pytest_plugins = ["embedded_omero.pytest_plugin"]
