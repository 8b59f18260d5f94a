"""All the I/O: what answers the ports. May import core, ports and venues.base; nothing of web or the pipeline."""
