"""Where credentials are kept, and how they become signers. Values of secrets go no further than this folder."""
