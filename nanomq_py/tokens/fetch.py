"""One GET of a document over HTTP, bounded in time and size; a redirect is refused.

Source  RFC 9112, 2 to 7
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

MOST_HEADER_BYTES = 16 * 1024


class FetchError(Exception):
    """There is no document; the text says why."""


def _request(host: str, target: str) -> bytes:
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def _head(raw: bytes) -> dict[str, str]:
    """Return the header fields of a response 200. Raises FetchError."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        raise FetchError("the server does not speak HTTP/1")
    if status != "200":
        raise FetchError(f"the server answers {status}")
    fields = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in fields}


async def _body(
    reader: asyncio.StreamReader, head: dict[str, str], most_bytes: int
) -> bytes:
    too_large = FetchError(f"the answer has more than {most_bytes} bytes")
    if head.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, most_bytes, too_large)
    length = head.get("content-length")
    if length is None:
        body = bytearray()
        while piece := await reader.read(64 * 1024):
            body += piece
            if len(body) > most_bytes:
                raise too_large
        return bytes(body)
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise FetchError("the answer has no length")
    if int(length) > most_bytes:
        raise too_large
    return await reader.readexactly(int(length))


async def _chunks(
    reader: asyncio.StreamReader, most_bytes: int, too_large: FetchError
) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0].strip()[:16], 16)
        if size < 0 or len(body) + size > most_bytes:
            raise too_large
        if size == 0:
            return bytes(body)
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise FetchError("a chunk of the answer has no end")


async def _get(url: str, trust: ssl.SSLContext | None, most_bytes: int) -> bytes:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reader, writer = await asyncio.open_connection(
        parts.hostname, port, ssl=trust if secure else None, limit=MOST_HEADER_BYTES
    )
    try:
        writer.write(_request(parts.netloc, target))
        head = _head(await reader.readuntil(b"\r\n\r\n"))
        return await _body(reader, head, most_bytes)
    finally:
        writer.close()


async def fetched(
    url: str, *, trust: ssl.SSLContext | None, most_bytes: int, time_limit_s: float
) -> bytes:
    """Return the document behind an ``http`` or ``https`` URL.

    trust    what an ``https`` server's certificate is held against
    Raises   FetchError
    """
    try:
        return await asyncio.wait_for(_get(url, trust, most_bytes), time_limit_s)
    except asyncio.TimeoutError:
        raise FetchError(f"no answer within {time_limit_s:g} s") from None
    except OSError as fault:  # ssl.SSLError is one
        raise FetchError(fault.strerror or str(fault)) from None
    except (EOFError, asyncio.LimitOverrunError, ValueError):
        raise FetchError("the answer is no HTTP, or is cut off") from None
