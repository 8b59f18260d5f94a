"""Pure values and decisions. No I/O, no clock, no randomness: time and nonces are arguments."""
