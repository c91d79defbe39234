"""plugins/: how plugins are found and loaded, and what a configuration says of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nanomq_py.cli import main
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.file import ConfFile
from nanomq_py.config.keys.plugins import Plugins as Keys
from nanomq_py.config.reader import Reading, read
from nanomq_py.config.settings import differences, settings_of
from nanomq_py.config.values.kind import BadValue
from nanomq_py.plugins.catalog import Loaded, find, installed
from nanomq_py.plugins.finding import InstalledPlugins
from tests.conftest import ROOT
from tests.plugged import GOOD, KEYED, importable, install

pytestmark = pytest.mark.plain


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path):
        yield tmp_path


def found(*names: str, known: tuple[Loaded, ...] = (), anew: bool = False) -> Loaded:
    (one,) = find(names, known, anew=anew)
    return one


def config_of(text: str, **environ: str) -> Config:
    return reading_of(text, **environ).config


def reading_of(text: str, **environ: str) -> Reading:
    return read(text, "x.conf", plugging=InstalledPlugins(environ))


# --- found and loaded


def test_plugin_is_found_by_its_entry_point(folder: Path) -> None:
    install(folder, "good", GOOD)
    loaded = found("good")
    assert (loaded.name, loaded.fault, loaded.sections) == ("good", "", ())
    assert loaded.kind is not None
    assert loaded.kind.__module__ == "of_good"
    assert (loaded.origin.version, loaded.origin.summary) == ("1.2", "the good")


def test_name_that_is_not_installed_is_refused_with_those_that_are(folder: Path) -> None:
    install(folder, "good", GOOD)
    with pytest.raises(BadValue, match=r"which are .*good.*; not installed: other"):
        find(["good", "other"], (), anew=False)
    with pytest.raises(ConfigError) as refused:
        config_of("\nplugins.load=good,other\nmsq_len=x\n")
    first, second = refused.value.args
    assert first == (
        "x.conf:2: plugins.load='good,other': expected names of installed plugins,"
        f" which are {', '.join(sorted(installed()))}; not installed: other"
    )
    assert second.startswith("x.conf:3: msq_len='x'")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def", "SyntaxError"),
        ("", "AttributeError"),
        ("Its = 5", "TypeError: 5: expected a class made of"),
        ("class Its: pass", "expected a class made of"),
        (
            "class Its(Plugin):\n    brings = (Section('tls', int),)",
            "ValueError: keys below 'tls': expected 'plugins.bad'",
        ),
        (
            "class Its(Plugin):\n    brings = (Section('plugins.badly', int),)",
            "keys below 'plugins.badly': expected 'plugins.bad'",
        ),
        ("class Its(Plugin):\n    brings = (Section('plugins.bad', int),)", "TypeError"),
        ("class Its(Plugin):\n    brings = 5", "TypeError"),
    ],
)
def test_plugin_that_cannot_be_loaded_has_a_fault(
    folder: Path, code: str, says: str
) -> None:
    install(folder, "bad", code)
    config = config_of("plugins.load=bad\nplugins.bad.key=1\nmsq_len=7\n")
    (plugged,) = config.plugged
    assert plugged.fault.startswith("cannot be loaded: ")
    assert says in plugged.fault
    assert plugged.sections == ()
    assert config.said.unplugged == ("plugins.bad.key",)
    assert config.msq_len == 7
    assert "of_bad" not in sys.modules


@pytest.mark.parametrize(
    "code",
    [
        GOOD + "class Other: Its = Its\nsys.modules[__name__] = Other\n",
        GOOD + "__file__ = 'a\\0b'\n",
        GOOD + "__file__ = sys\n",
        GOOD + "del __package__\n",
        GOOD + "__package__ = 'asyncio'\n",
    ],
)
def test_module_that_says_nothing_true_of_itself_is_loaded(folder: Path, code: str) -> None:
    install(folder, "good", code)
    loaded = found("good")
    assert loaded.fault == ""
    assert found("good", known=(loaded,), anew=True).fault == ""
    loaded.forget()
    assert "of_good" not in sys.modules
    assert "asyncio" in sys.modules


@pytest.mark.parametrize("value", ["", "not a module!", "of_good"])
def test_entry_point_that_names_no_class_is_a_fault(folder: Path, value: str) -> None:
    install(folder, "good", GOOD)
    points = folder / "plugin_good-1.2.dist-info" / "entry_points.txt"
    points.write_text(f"[nanomq_py.plugins]\ngood = {value}\n")
    assert found("good").fault.startswith("cannot be loaded: ")


def test_fault_that_has_no_text_is_told_by_its_kind(folder: Path) -> None:
    install(
        folder,
        "bad",
        "class Mute(Exception):\n    def __str__(self): raise self\nraise Mute\n",
    )
    assert found("bad").fault == "cannot be loaded: Mute"


@pytest.mark.parametrize(
    "name", ["a b", "a=b", "a\\nb", "#a", "${A}", "a.", ".", "ä", "a" * 300]
)
def test_key_whose_name_no_file_could_hold_is_a_fault(folder: Path, name: str) -> None:
    install(folder, "keyed", KEYED.replace('key("rate"', f'key("{name}"'))
    assert "no name of a key" in found("keyed").fault


@pytest.mark.parametrize("default", ["99", "'text'", "None", "object()"])
def test_default_that_a_key_does_not_take_is_a_fault(folder: Path, default: str) -> None:
    install(folder, "keyed", KEYED.replace("Whole(0, 9), 5", f"Whole(0, 9), {default}"))
    assert "plugins.keyed.rate" in found("keyed").fault


def test_plugin_that_is_known_stays_what_it_is(folder: Path) -> None:
    module = install(folder, "good", GOOD)
    before = found("good")
    assert found("good", known=(before,), anew=True) is before
    module.write_text(module.read_text() + "# another size\n")
    assert found("good", known=(before,)) is before
    after = found("good", known=(before,), anew=True)
    assert after is not before
    assert after.kind is not before.kind


def test_code_that_is_new_and_wrong_leaves_the_old(folder: Path) -> None:
    module = install(folder, "good", GOOD)
    before = found("good")
    ran = sys.modules["of_good"]
    good = module.read_text()
    module.write_text(good + "1 / 0\n")
    assert found("good", known=(before,), anew=True) is before
    assert before.kept == "cannot be loaded: ZeroDivisionError: division by zero"
    assert sys.modules["of_good"] is ran
    module.write_text(good + "# mended\n")
    assert found("good", known=(before,), anew=True) is not before


def test_plugin_that_expires_or_had_a_fault_is_loaded_again(folder: Path) -> None:
    install(folder, "good", GOOD)
    before = found("good")
    before.expire()
    assert found("good", known=(before,)) is before
    assert found("good", known=(before,), anew=True) is not before

    install(folder, "bad", "1 / 0")
    bad = found("bad")
    assert found("bad", known=(bad,)) is bad
    assert found("bad", known=(bad,), anew=True) is not bad


def test_plugin_that_is_forgotten_is_imported_anew(folder: Path) -> None:
    module = install(folder, "good", GOOD)
    before = found("good")
    assert found("good").kind is before.kind
    before.forget()
    assert "of_good" not in sys.modules
    module.write_text(module.read_text().replace("NUMBER = 1", "NUMBER = 22"))
    kind = found("good").kind
    assert kind is not None
    assert kind.NUMBER == 22  # type: ignore[attr-defined]


def test_package_is_loaded_anew_as_a_whole(folder: Path) -> None:
    install(folder, "good", GOOD)
    (folder / "of_good.py").unlink()
    (folder / "of_good").mkdir()
    inner = folder / "of_good" / "inner.py"
    inner.write_text("NUMBER = 1\n")
    (folder / "of_good" / "__init__.py").write_text(
        "from nanomq_py.plugins.plugin import Plugin\n"
        "from of_good.inner import NUMBER\n"
        "class Its(Plugin):\n    NUMBER = NUMBER\n"
    )
    before = found("good")
    inner.write_text("NUMBER = 22\n")
    after = found("good", known=(before,), anew=True)
    assert after.kind is not None
    assert after.kind.NUMBER == 22  # type: ignore[attr-defined]


def test_who_names_none_loads_nothing_for_plugins() -> None:
    text = (
        "import sys, nanomq_py.cli, nanomq_py.server;"
        "from nanomq_py.cli import main; main(['conf', 'check', 'etc/nanomq.conf']);"
        "print([n for n in sys.modules if n == 'importlib.metadata'"
        " or n.startswith('nanomq_py.plugins.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == (
        "['nanomq_py.plugins.finding', 'nanomq_py.plugins.part']"
    )


# --- their keys

LOADED = "plugins.load=keyed\nplugins.keyed.rate=3\n"


def rate_of(config: Config) -> str | None:
    setting = settings_of(config).get("plugins.keyed.rate")
    return setting.text if setting else None


@pytest.mark.parametrize(
    "text",
    [
        LOADED,
        "plugins.keyed.rate=3\nplugins.load=keyed\n",
        'plugins { load = ["keyed"], keyed { rate = 3 } }\n',
        "plugins.load = [keyed]\nplugins.keyed = { rate = 3 }\n",
        "plugins.load=keyed\nplugins.keyed.rate=3\nplugins.keyed.word=[x\n",
    ],
)
def test_keys_of_a_plugin_are_read_in_both_forms(folder: Path, text: str) -> None:
    install(folder, "keyed", KEYED)
    assert rate_of(config_of(text)) == "3"


@pytest.mark.parametrize("load", ["a a", "a,a", "load", "a/b", "x" * 65])
def test_load_takes_names_only(load: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.load=.*expected names of plugins"):
        config_of(f"plugins.load={load}\n")
    with pytest.raises(ConfigError, match="load="):
        Keys(load=(load, load))


def test_wrong_keys_of_a_plugin_are_refused(folder: Path) -> None:
    install(folder, "keyed", KEYED)
    install(folder, "good", GOOD)
    with pytest.raises(ConfigError, match=r"plugins\.keyed\.rate='10': expected a whole"):
        config_of("plugins.load=keyed\nplugins.keyed.rate=10\n")
    with pytest.raises(ConfigError, match=r"did you mean plugins\.keyed\.rate"):
        config_of("plugins.load=keyed\nplugins.keyed.rat=1\n")
    with pytest.raises(ConfigError, match=r"plugins\.good\.x: unknown key"):
        config_of("plugins.load=good\nplugins.good.x=1\n")
    with pytest.raises(ConfigError, match=r"plugins\.lod: unknown key"):
        config_of("plugins.lod=keyed\n")


def test_key_whose_reader_raises_is_refused(folder: Path) -> None:
    code = KEYED.replace('Text(), ""', 'Odd(), ""').replace(
        "@dataclass",
        "class Odd(Text):\n    def parse(self, text): return text and 1 / 0\n\n@dataclass",
    )
    install(folder, "keyed", code)
    assert rate_of(config_of(LOADED)) == "3"
    with pytest.raises(ConfigError, match=r"keys below plugins\.keyed: not read: ZeroDiv"):
        config_of(f"{LOADED}plugins.keyed.word=x\n")


def test_keys_of_plugins_that_are_not_loaded_are_left_out(folder: Path) -> None:
    install(folder, "keyed", KEYED)
    config = config_of("plugins.keyed.rate=3\nplugins.other.a.b={x\n")
    assert config.said.unplugged == ("plugins.keyed.rate", "plugins.other.a.b")
    assert config == Config(websocket=config.websocket)
    without = read(LOADED, "x.conf")
    assert without.config.plugged == ()
    assert without.config.said.unplugged == ("plugins.keyed.rate",)


def test_environment_stands_for_keys_of_plugins(folder: Path) -> None:
    install(folder, "keyed", KEYED)
    assert rate_of(config_of(LOADED, NANOMQ_PLUGINS_KEYED_RATE="7")) == "7"


def test_plugins_that_come_and_go_are_written_to_the_file(folder: Path) -> None:
    install(folder, "keyed", KEYED)
    conf = folder / "nanomq.conf"
    conf.write_text("plugins.load=\nplugins.keyed.rate=3\n")
    file = ConfFile(conf, {}, plugging=InstalledPlugins())

    def loading(*names: str) -> Reading:
        config = file.reading.config
        return file.edited(replace(config, plugins=Keys(load=names)))

    came = loading("keyed")
    assert came.text == "plugins.load=keyed\nplugins.keyed.rate=3\n"
    assert [str(d) for d in differences(file.reading.config, came.config)] == [
        "plugins.load: (none) -> keyed",
        "plugins.keyed.rate: (none) -> 3",
        "plugins.keyed.word: (none) -> (none)",
    ]
    file.reading = came
    gone = loading()
    assert gone.text == "plugins.load=\nplugins.keyed.rate=3\n"
    assert gone.config.said.unplugged == ("plugins.keyed.rate",)
    assert rate_of(gone.config) is None


def test_section_of_a_plugin_is_edited_as_others(folder: Path) -> None:
    install(folder, "keyed", KEYED)
    conf = folder / "nanomq.conf"
    conf.write_text(LOADED)
    file = ConfFile(conf, {}, plugging=InstalledPlugins())
    config = file.reading.config
    brought = tuple(b._replace(values=replace(b.values, rate=4)) for b in config.brought)
    made = file.edited(replace(config, brought=brought))
    assert made.text == "plugins.load=keyed\nplugins.keyed.rate=4\n"
    assert made.config.plugged == config.plugged


# --- the command line


def test_conf_tells_of_plugins_and_their_keys(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(folder, "bad", "1 / 0")
    install(folder, "keyed", KEYED)
    conf = folder / "nanomq.conf"
    conf.write_text("plugins.load=keyed\nplugins.keyed.rate=7\nplugins.keyed.word=w\n")
    conf.chmod(0o600)
    assert main(["conf", "check", str(conf)]) == 0
    assert main(["conf", "show", str(conf)]) == 0
    shown = capsys.readouterr().out
    assert "# default: 5\nplugins.keyed.rate=7\n" in shown
    assert "plugins.keyed.word=(hidden)\n" in shown
    assert main(["conf", "diff", str(conf)]) == 0
    assert "plugins.keyed.rate: 5 -> 7 (at once)\n" in capsys.readouterr().out
    assert main(["conf", "diff", str(ROOT / "etc" / "nanomq.conf"), str(conf)]) == 0
    assert "plugins.keyed.rate: (none) -> 7 (at once)\n" in capsys.readouterr().out

    conf.write_text("plugins.load=bad\nplugins.bad.x=1\n")
    assert main(["conf", "check", str(conf)]) == 1
    told = capsys.readouterr()
    assert "plugin bad: cannot be loaded: ZeroDivisionError" in told.err
    assert "keys of plugins that are not loaded: plugins.bad.x" in told.out
    assert main(["conf", "show", str(conf)]) == 0
    assert "# plugins.bad.x: of a plugin that is not loaded\n" in capsys.readouterr().out
    conf.write_text("plugins.load=none\n")
    assert main(["conf", "check", str(conf)]) == 2
    assert re.search(
        "which are .*bad.*, keyed.*; not installed: none", capsys.readouterr().err
    )


def test_commands_to_a_broker_do_not_load_its_plugins(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    install(folder, "loud", "print('it is loaded')")
    conf = folder / "nanomq.conf"
    conf.write_text("plugins.load=loud\n")
    assert main(["stop", "--conf", str(conf)]) == 1
    assert "it is loaded" not in capsys.readouterr().out
    assert main(["conf", "check", str(conf)]) == 1
    assert "it is loaded" in capsys.readouterr().out
