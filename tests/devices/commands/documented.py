"""The examples of "Remote Control" in the document."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.http.documented import DOCUMENTS


def examples() -> list[Any]:
    """Return them in their order: request, its answer, one command, a list, a response."""
    text = (DOCUMENTS / "iot-platform-api-v1.txt").read_text()
    part = text[text.rindex("\nRemote Control\n") :]
    part = re.sub(r"```\n\f?\n```\n", "", part)  # an example goes on on the next page
    blocks = re.findall(r"```\n(.*?)```", part, re.S)
    return [json.loads(block) for block in blocks if re.match(r"\{\s", block)]
