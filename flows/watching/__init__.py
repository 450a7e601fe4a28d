"""The watch: the USGS feed in, exactly the right runs out."""
