"""From a probability raster to an inventory that people can use: polygons, files, comparison,
report.
"""
