"""What the dialects of EMQX, v2 and v4, have in common: names, texts, facts of the node."""
