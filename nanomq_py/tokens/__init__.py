"""Signed tokens (JWT): who signed them, and what they claim. No key and no rule is here."""
