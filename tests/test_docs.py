"""The documentation names what there is."""

from __future__ import annotations

import re

import pytest

from nanomq_py.http.v1 import HANDLERS
from tests.conftest import ROOT
from tests.unit.test_config import every_key

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("key", every_key())
def test_every_key_is_documented(key: str) -> None:
    assert f"| `{key}` |" in CONFIGURATION


@pytest.mark.parametrize("req", HANDLERS)
def test_every_request_code_is_documented(req: int) -> None:
    assert f"\n| {req} | " in (ROOT / "docs" / "api" / "http.md").read_text()


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
