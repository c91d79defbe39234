"""The two forms of a configuration file, as syntax: texts in, names and texts out."""
