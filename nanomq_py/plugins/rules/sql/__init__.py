"""The SQL of rules: text in, a statement that can be run out."""
