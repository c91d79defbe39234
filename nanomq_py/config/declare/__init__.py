"""How keys, sections and families of keys are declared."""
