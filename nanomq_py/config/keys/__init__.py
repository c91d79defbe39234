"""The declaration of every key, section by section; Config is the whole."""
