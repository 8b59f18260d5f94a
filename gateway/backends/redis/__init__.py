"""Talking to Redis: the link, the scripts, and the server that we bring along. What is stored is decided elsewhere."""
