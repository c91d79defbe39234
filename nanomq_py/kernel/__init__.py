"""What a part of the process is, and how all of them go from one configuration to the next."""
