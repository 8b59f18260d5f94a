"""The venues, one file each. `ALL` is the only list of them."""
