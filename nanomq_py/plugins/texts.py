"""Bytes as JSON can hold them."""

from __future__ import annotations

import base64


def text_or_base64(data: bytes) -> tuple[str, bool]:
    """Return bytes as a text; and whether it is their base64, as they are no UTF-8.

    >>> text_or_base64(b"on"), text_or_base64(b"\\xff")
    (('on', False), ('/w==', True))
    """
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True
