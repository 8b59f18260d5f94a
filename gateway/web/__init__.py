"""The HTTP face: it receives and responds, and decides nothing about cancels."""
