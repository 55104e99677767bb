"""Wells on dask.distributed."""
