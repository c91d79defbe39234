"""What is on the ring, as notes: the kinds are those of ``csrc/events.def``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from nanomq_py.core.declared import NoteKind
from nanomq_py.core.native import ffi, lib, optional_bytes, optional_text, text_of
from nanomq_py.core.records import (
    AccessNote,
    AuthEndNote,
    AuthNote,
    DurabilityNote,
    LogNote,
    Note,
)

if TYPE_CHECKING:
    from nanomq_py._core import nmq_broker, nmq_note, nmq_wish

BATCH = 256  # notes that are taken at once


class Notes:
    """Takes the notes of a broker."""

    def __init__(self) -> None:
        self._taken = ffi.new("nmq_note[]", BATCH)

    def take(self, broker: nmq_broker) -> list[Note]:
        """Return up to 256 notes, the oldest first."""
        count = lib.nmq_broker_notes(broker, self._taken, BATCH)
        return [_read(self._taken[i]) for i in range(count)]


def _read(note: nmq_note) -> Note:
    made = _READERS[note.kind](note)
    lib.nmq_broker_note_done(ffi.addressof(note))
    return made


def _read_log(note: nmq_note) -> LogNote:
    return LogNote(note.code, text_of(note.text, note.text_len) if note.text_len else "")


def _read_auth(note: nmq_note) -> AuthNote:
    raw = ffi.new("nmq_credentials *")
    lib.nmq_note_auth(ffi.addressof(note), raw)
    return AuthNote(
        number=note.number,
        step=note.code,
        listener=raw.listener,
        address=text_of(raw.address, raw.address_len),
        client_id=text_of(raw.client_id, raw.client_id_len),
        user_name=optional_text(raw.user_name, raw.user_name_len),
        password=optional_bytes(raw.password, raw.password_len),
        method=optional_text(raw.method, raw.method_len),
        data=optional_bytes(raw.data, raw.data_len),
    )


def _read_access(note: nmq_note) -> AccessNote:
    raw = ffi.new("nmq_wish *")
    lib.nmq_note_access(ffi.addressof(note), raw)
    return AccessNote(
        number=note.number,
        question=note.code,
        publish=raw.publish,
        listener=raw.listener,
        address=text_of(raw.address, raw.address_len),
        client_id=text_of(raw.client_id, raw.client_id_len),
        user_name=optional_text(raw.user_name, raw.user_name_len),
        topics=tuple(_topics(raw)),
    )


def _topics(wish: nmq_wish) -> Iterator[str]:
    while lib.nmq_wish_topic(wish):
        yield text_of(wish.topic, wish.topic_len)


def _read_auth_end(note: nmq_note) -> AuthEndNote:
    return AuthEndNote(note.number)


def _read_durability(note: nmq_note) -> DurabilityNote:
    return DurabilityNote(note.code, note.number, text_of(note.text, note.text_len))


_READERS: dict[int, Callable[[nmq_note], Note]] = {
    NoteKind.LOG: _read_log,
    NoteKind.AUTH: _read_auth,
    NoteKind.AUTH_END: _read_auth_end,
    NoteKind.ACCESS: _read_access,
    NoteKind.DURABILITY: _read_durability,
}
