"""A STAC catalogue on this machine: an API with real cloud-optimised GeoTIFFs behind it, and with
faults.
"""
