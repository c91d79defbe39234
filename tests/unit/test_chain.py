"""The chain of authenticators: the first that does not pass decides, also when it waits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable

import pytest

from nanomq_py.auth import roster
from nanomq_py.auth.chain import Answer, Chain, Decision, Login
from nanomq_py.config.keys import access
from nanomq_py.core.declared import ReasonCode

pytestmark = pytest.mark.plain

ALLOWS = Decision(ReasonCode.SUCCESS)
DENIES = Decision(ReasonCode.BANNED)
LOGIN = Login(1, "192.0.2.1", "c", "u", b"p")


class Says:
    """An authenticator that always says the same."""

    def __init__(self, answer: Answer | Exception, *, later: bool = False) -> None:
        self.name = "says"
        self.asked = 0
        self._answer = answer
        self._later = later

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        self.asked += 1
        return self._wait() if self._later else self._say()

    def _say(self) -> Answer:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def _wait(self) -> Answer:
        await asyncio.sleep(0)
        return self._say()


async def decide(*chain: Says, login: Login = LOGIN) -> Decision:
    answer = Chain(chain).decide(login)
    return await answer if inspect.isawaitable(answer) else answer


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("decision", [ALLOWS, DENIES])
async def test_first_that_does_not_pass_decides(decision: Decision, later: bool) -> None:
    passes, decides, behind = (
        Says(None, later=later),
        Says(decision, later=later),
        Says(ALLOWS),
    )
    assert await decide(passes, decides, behind) is decision
    assert (passes.asked, decides.asked, behind.asked) == (1, 1, 0)


@pytest.mark.parametrize("later", [False, True])
async def test_client_that_nobody_knows_is_refused(later: bool) -> None:
    code = (await decide(Says(None, later=later))).reason_code
    assert code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    nameless = Login(1, "", "c", None, None)
    code = (await decide(Says(None, later=later), login=nameless)).reason_code
    assert code == ReasonCode.NOT_AUTHORIZED


@pytest.mark.parametrize("later", [False, True])
async def test_authenticator_that_raises_refuses_its_client(
    later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    code = (await decide(Says(OSError("no"), later=later), Says(ALLOWS))).reason_code
    assert code == ReasonCode.UNSPECIFIED_ERROR
    assert "authenticator says failed" in caplog.text


def test_answer_at_once_needs_no_loop() -> None:
    assert Chain([Says(None), Says(ALLOWS)]).decide(LOGIN) is ALLOWS


def test_each_member_that_the_key_knows_is_made_in_the_same_order() -> None:
    assert tuple(roster.MEMBERS) == access.MEMBERS
