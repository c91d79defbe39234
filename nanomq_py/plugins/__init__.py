"""Plugins: parts of the process that other packages bring. See docs/plugins.md."""
