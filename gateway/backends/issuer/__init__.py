"""Tokens of an issuer: its keys, where they come from, and what a token signed with one of them says."""
