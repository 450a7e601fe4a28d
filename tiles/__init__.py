"""From rasters of any size to tiles and back, and from vector truth to training chips."""
