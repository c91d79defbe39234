"""What the stub of the core says of declarations in C."""

from __future__ import annotations

import pytest

from tools.stub import stub

pytestmark = pytest.mark.plain

CDEF = """
enum nmq_kind { NMQ_NONE, NMQ_ONE = 1 };
typedef struct nmq_box nmq_box; // opaque
typedef struct {
    uint8_t bytes[4];
    const char *text;
} nmq_part;
typedef struct {
    int fd;
    bool on;
    enum nmq_kind kind;
    nmq_part part;
    const nmq_part *parts;
    const nmq_box *box;
    const char *const *names;
} nmq_whole;
void nmq_box_free(nmq_box *box);
int nmq_box_new(const nmq_whole *whole, nmq_box **out);
size_t nmq_count(void);
const char *nmq_say(const char *text, void *arg, uint32_t *number);
"""
LINES = [
    "class nmq_box(CData): ...",
    'class nmq_part(Pointer["nmq_part"]):\n    bytes: Pointer[int]\n    text: Chars\n',
    "    fd: int\n    on: bool\n    kind: int\n    part: nmq_part\n    parts: nmq_part\n"
    "    box: nmq_box\n    names: Pointer[Chars]\n",
    "    NMQ_NONE: Final[int]\n    NMQ_ONE: Final[int]\n",
    "    def nmq_box_free(self, box: nmq_box, /) -> None: ...",
    "    def nmq_box_new(self, whole: nmq_whole, out: Pointer[nmq_box], /) -> int: ...",
    "    def nmq_count(self) -> int: ...",
    "    def nmq_say(self, text: Chars | bytes, arg: VoidPointer, number: Pointer[int], /)"
    " -> Chars: ...",
    '    def new(self, cdecl: Literal["nmq_part *", "nmq_part[]"], init: Any = ..., /)'
    " -> nmq_part: ...",
    '    def new(self, cdecl: Literal["nmq_box **"], init: Any = ..., /)'
    " -> Pointer[nmq_box]: ...",
]


@pytest.mark.parametrize("line", LINES)
def test_declaration_in_c_has_its_line(line: str) -> None:
    assert line in stub(CDEF)
