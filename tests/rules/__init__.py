"""Rules: SQL over messages and events, and what is done with what it selects."""
