"""Commands to devices: kept in the store until they expire, published, answered."""
