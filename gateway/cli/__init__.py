"""What the commands do. Each module adds its commands to the parser; nothing here serves requests."""
