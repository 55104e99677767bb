"""Fixtures for all tests. An OMERO to talk to comes from the plugin `embedded_omero.pytest_plugin`."""

import embedded_omero.slices  # noqa: F401  (first of all: it keeps omero-py's temporary files out of the home folder)
