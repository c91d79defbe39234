"""The functions of the language, by name: see ``table``."""
