"""All functions, made known by the import of this module, when a statement calls one."""

from nanomq_py.plugins.rules.sql.functions.table import FUNCTIONS

__all__ = ["FUNCTIONS"]
