"""All functions, made known by the import of this module, when a statement calls one."""

from nanomq_py.plugins.rules.sql.functions import (  # noqa: F401 - each makes its own known
    binaries,
    containers,
    kinds,
    messages,
    numeric,
    patterns,
    texts,
    times,
)
from nanomq_py.plugins.rules.sql.functions.table import FUNCTIONS

__all__ = ["FUNCTIONS"]
