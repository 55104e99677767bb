"""Imports all of omero-py's generated classes, without the warnings of the deprecated ones among them."""

import warnings

with warnings.catch_warnings(record=True):  # they insist on being shown, whatever the filter
    import omero.all
    import omero.model  # noqa: F401
