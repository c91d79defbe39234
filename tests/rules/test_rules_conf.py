"""Rules of the configuration, by NanoMQ's keys in either form.

Source  NanoMQ, docs/rule/config-file.md: its examples
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from nanomq_py.config import ConfigError
from nanomq_py.config.reader import read
from nanomq_py.plugins.finding import InstalledPlugins
from nanomq_py.plugins.rules.keys import FileRule, Keys
from nanomq_py.plugins.rules.plugin import of_file
from tests.conftest import StartBroker, free_port
from tests.http.v4 import assert_refused, call, done, get
from tests.raw import PUBACK, PUBLISH, Raw

pytestmark = pytest.mark.plain

FLAT = """\
rule_option=ON
rule_option.sqlite=enable
rule.sqlite.path=/tmp/sqlite_rule.db
rule.sqlite.1.table=broker
rule.event.publish.1.sql=SELECT topic, payload FROM "abc"
rule_option.repub=enable
rule.repub.2.address=mqtt-tcp://localhost:1883
rule.repub.2.topic=topic/repub1
rule.repub.2.proto_ver=4
rule.repub.2.clientid=repub_client1
rule.repub.2.password=passwd
rule.event.publish.2.sql="SELECT topic, payload FROM "abc""
"""
NESTED = """\
mqtt {}
rules.sqlite {
    path = "/tmp/sqlite_rule.db"
    rules = [ { sql = "SELECT topic, payload FROM \\"abc\\"", table = broker } ]
}
rules.repub {
    rules = [
        {
            server = "mqtt-tcp://localhost:1883"
            topic = "topic/repub1"
            proto_ver = 4
            sql = "SELECT topic, payload FROM \\"abc\\""
        }
    ]
}
"""


@pytest.mark.parametrize("text", [FLAT, NESTED], ids=["flat", "nested"])
def test_rules_of_nanomq_are_read_in_either_form(text: str) -> None:
    config = read(text, "x.conf", plugging=InstalledPlugins({})).config
    assert [plugin.name for plugin in config.plugged] == ["rules"]
    keys = config.of_part(Keys)
    one, two = of_file(keys)
    assert keys.sqlite_path == "/tmp/sqlite_rule.db"
    assert one.rawsql == two.rawsql == 'SELECT topic, payload FROM "abc"'
    assert [(a.name, a.params) for a in (*one.actions, *two.actions)] == [
        ("sqlite", {"table": "broker", "path": "/tmp/sqlite_rule.db"}),
        ("repub", {"topic": "topic/repub1", "address": "mqtt-tcp://localhost:1883"}),
    ]


@pytest.mark.parametrize(
    ("switches", "is_loaded", "kept"),
    [
        ("rule_option=OFF\nrule_option.sqlite=enable", False, None),
        ("rule_option.sqlite=disable", False, None),
        ("", False, None),
        (
            "rule_option.sqlite=enable\nrule_option.repub=disable",
            True,
            FileRule(sql="SELECT * FROM s", table="t"),
        ),
    ],
)
def test_rules_that_are_switched_off_do_not_count(
    switches: str, is_loaded: bool, kept: FileRule | None
) -> None:
    sql = "rule.event.publish.1.sql=SELECT * FROM s"
    rule = f"{sql}\nrule.sqlite.1.table=t\nrule.repub.1.topic=o"
    config = read(f"{switches}\n{rule}", "x.conf", plugging=InstalledPlugins({})).config
    assert bool(config.plugged) == is_loaded
    if is_loaded:
        assert config.of_part(Keys).rules == (kept,)


def test_switch_of_rules_is_one() -> None:
    with pytest.raises(ConfigError, match=r"rule_option.*expected true or false"):
        read("rule_option=perhaps", "x.conf", plugging=InstalledPlugins({}))


def test_rules_of_the_configuration_run_and_are_changed_there(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    port, file = free_port(), tmp_path / "its.db"
    text = FLAT.replace("1883", str(port)).replace("/tmp/sqlite_rule.db", str(file))
    given = dict(line.split("=", 1) for line in text.splitlines())
    broker = start_broker(**{**given, "url": f"nmq-tcp://127.0.0.1:{port}"})
    assert [each["id"] for each in get(broker, "/rules")["data"]] == ["conf:1", "conf:2"]
    with Raw(broker.port) as client:
        client.connect("c")
        client.subscribe(("topic/#", 0))
        client.publish("abc", b"aaa", qos=1, packet_id=1)
        packets = [client.read(), client.read()]
        (told,) = [each.payload for each in packets if each.kind == PUBLISH]
        assert {each.kind for each in packets} == {PUBLISH, PUBACK}
        assert told == b'{"topic":"abc","payload":"aaa"}'
    while not get(broker, "/rules/conf:1")["data"]["actions"][0]["metrics"][0]["success"]:
        pass
    with sqlite3.connect(file) as connection:
        assert list(connection.execute("SELECT * FROM broker")) == [(1, "abc", "aaa")]
    for method in ("PUT", "DELETE"):
        said = call(broker, method, "/api/v4/rules/conf:1", {})
        assert_refused(said, 400, 108, "the configuration has it")
    conf = broker.conf.read_text()
    broker.conf.write_text(conf.replace('FROM "abc"\n', 'FROM "d\n'))
    done_ = broker.nanomq("reload", "--conf", str(broker.conf))
    assert (done_.returncode, "line 1, column" in done_.stderr) == (2, True), done_
    assert get(broker, "/rules/conf:1")["data"]["for"] == ["abc"]
    broker.conf.write_text(conf.replace('FROM "abc"\n', 'FROM "d"\n'))
    assert broker.reload()["restart"] == []
    assert get(broker, "/rules/conf:1")["data"]["for"] == ["d"]
    broker.conf.write_text(conf.replace("rule_option=ON", "rule_option=OFF"))
    broker.reload()
    assert get(broker, "/rules")["data"] == []
    done(broker, "DELETE", "/rules/conf:1")


def test_rule_for_another_broker_says_that_bridges_are_not_here(
    start_broker: StartBroker,
) -> None:
    given = dict(line.split("=", 1) for line in FLAT.splitlines())
    given["rule.repub.2.address"] = "mqtt-tcp://broker.example:1883"
    del given["rule_option.sqlite"]
    broker = start_broker(**given)
    two = get(broker, "/rules/conf:2")["data"]
    assert "MQTT bridges are not here yet" in two["error"]
