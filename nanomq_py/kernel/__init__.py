"""What a part of the process is, and how its configuration changes."""
