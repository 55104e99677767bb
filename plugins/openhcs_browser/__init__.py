"""Walk through OMERO with thumbnails, and send what is selected to a viewer."""
