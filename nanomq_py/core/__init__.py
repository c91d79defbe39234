"""The C core as typed Python: nothing of cffi leaves this room."""
