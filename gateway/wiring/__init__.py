"""The composition root: the only package that knows everything. It builds the service from its settings, and ends it.

`service.py` puts it together from what all replicas share (shared.py), what a cancel goes through (cancelling.py), what
callers and people on call meet (serving.py), and how it stands (vitals.py).
"""
