"""Each finding of the diagnosis, made on the real thing where that can be made wrong."""
