"""Clients judged by HTTP servers: ``auth.http``. Nothing here is imported unless it is on."""
