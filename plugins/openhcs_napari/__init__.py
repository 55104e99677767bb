"""napari shows results while they are made."""
