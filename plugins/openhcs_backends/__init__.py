"""Storage backends: TIFF files on disk, OME-Zarr plates, and OMERO where its data lie."""
