"""A loopback Earth Engine: it speaks the service's protocol to the unmodified client and evaluates
its expression graphs.
"""
