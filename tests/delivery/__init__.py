"""Delivery by HTTP."""
