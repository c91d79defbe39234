"""http/lean: libraries without some of their parts, and whole for everybody else."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from nanomq_py.http.lean import hidden, private
from tests.conftest import ROOT

pytestmark = pytest.mark.plain

UVICORN = """
import sys
from nanomq_py.http import serving
from nanomq_py.http.asgi import Server
assert not {"click", "multiprocessing", "uvicorn.main"} & sys.modules.keys()
import uvicorn
assert not hasattr(uvicorn, "none")
assert uvicorn.Server is Server
assert uvicorn.run.__module__ == "uvicorn.main"
from uvicorn.main import main
assert uvicorn.main is main
"""


def test_uvicorn_comes_without_its_command_line_and_is_whole_for_others() -> None:
    done = subprocess.run([sys.executable, "-c", UVICORN], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_uvicorn_that_others_have_imported_is_used() -> None:
    text = "import uvicorn\nfrom nanomq_py.http.asgi import Server\n"
    text += "assert uvicorn.Server is Server and callable(uvicorn.run)"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_private_copy_lacks_what_others_find() -> None:
    import jwt

    whole = jwt
    with private("jwt"), hidden("cryptography"):
        import jwt
    assert jwt is not whole
    assert not jwt.algorithms.has_crypto
    assert sys.modules["jwt"] is whole
    assert sys.modules["jwt.algorithms"].has_crypto


def test_hidden_module_is_found_again_after_a_fault() -> None:
    stand_in, before = ModuleType("json"), sys.modules["json"]
    with pytest.raises(ModuleNotFoundError), hidden("json", stand_in), hidden("json"):
        import json
    assert sys.modules["json"] is before
    with hidden("json", stand_in):
        import json
    assert json is stand_in
