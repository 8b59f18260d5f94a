"""HTTP/1.1 to venues: one request on one connection, once.

A general client library repeats, redirects, decodes, pools and normalises by itself, and each of these has to be found
out and forbidden where one slot must be one request and bytes are signed. Here there is nothing to forbid. What is hard
is not ours: httptools reads the replies (strictly), aiohappyeyeballs finds the address, ssl verifies the venue.
"""
