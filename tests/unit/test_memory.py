"""Whose memory it is: control groups, and what Python adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanomq_py.core import memory, process
from nanomq_py.core.memory import SLACK_BYTES, Trimmer, group_bytes, memory_share

V2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
HYBRID = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
NEVER_V1 = "9223372036854771712"


def tree(root: Path, cgroup: str, mounts: str, **bounds: str) -> Path:
    """Make a file system of those lines, and of files below sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text(mounts)
    for path, value in bounds.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
    return root


def test_units_own_bound_counts(tmp_path: Path) -> None:
    unit = "system.slice/nanomq.service"
    root = tree(tmp_path, f"0::/{unit}\n", V2, **{f"{unit}/memory.max": "1000"})
    assert group_bytes(root) == 1000


@pytest.mark.parametrize("smallest", ["a/b/c", "a/b", "a"])
def test_smallest_bound_on_the_way_up_counts(tmp_path: Path, smallest: str) -> None:
    bounds = {f"{g}/memory.max": "5000" for g in ("a", "a/b", "a/b/c")}
    bounds[f"{smallest}/memory.max"] = "4000"
    bounds["x/memory.max"] = "1"  # not ours
    assert group_bytes(tree(tmp_path, "0::/a/b/c\n", V2, **bounds)) == 4000


def test_bound_that_slows_down_counts_too(tmp_path: Path) -> None:
    bounds = {"a/memory.max": "5000", "a/memory.high": "3000"}
    assert group_bytes(tree(tmp_path, "0::/a\n", V2, **bounds)) == 3000


def test_max_is_no_bound(tmp_path: Path) -> None:
    bounds = {"a/memory.max": "max", "a/memory.high": "max"}
    assert group_bytes(tree(tmp_path, "0::/a\n", V2, **bounds)) is None


def test_first_version_of_control_groups(tmp_path: Path) -> None:
    cgroup = "4:memory:/docker/x\n1:cpu:/docker/x\n0::/\n"
    bounds = {
        "memory/docker/x/memory.limit_in_bytes": NEVER_V1,
        "memory/docker/memory.limit_in_bytes": "7000",
        "cpu/docker/x/memory.limit_in_bytes": "1",
    }
    assert group_bytes(tree(tmp_path, cgroup, V1_CPU + V1 + HYBRID, **bounds)) == 7000


def test_container_sees_its_group_as_the_mount(tmp_path: Path) -> None:
    mount = V1.replace(" / /sys", " /docker/x /sys")
    bounds = {"memory/memory.limit_in_bytes": "9000"}
    assert group_bytes(tree(tmp_path, "4:memory:/docker/x\n", mount, **bounds)) == 9000


def test_group_outside_of_the_mount_is_bounded_by_the_mount(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/../other\n", V2, **{"memory.max": "8000"})
    assert group_bytes(root) == 8000


@pytest.mark.parametrize("cgroup", ["", "garbage\n", "0::/a\n"])
@pytest.mark.parametrize("mounts", ["", "garbage\n", "a b c d e - cgroup2\n", V2])
def test_what_cannot_be_read_is_no_bound(tmp_path: Path, cgroup: str, mounts: str) -> None:
    assert group_bytes(tree(tmp_path, cgroup, mounts)) is None
    assert group_bytes(tmp_path / "nowhere") is None


def test_three_quarters_of_the_bound_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanomq_py.core.memory.group_bytes", lambda: 4000)
    assert memory_share() == 3000


def test_rest_of_the_process_is_told_after_a_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    resident = [50_000_000]
    monkeypatch.setattr(process, "held_bytes", lambda: 10_000_000)
    monkeypatch.setattr(process, "set_other_bytes", told.append)
    monkeypatch.setattr(memory, "resident_bytes", lambda: resident[0])
    monkeypatch.setattr(process, "trim_memory", lambda: resident.__setitem__(0, 51_000_000))
    trimmer = Trimmer()  # it has trimmed
    resident[0] += SLACK_BYTES
    assert not trimmer.look()
    resident[0] += 1
    assert trimmer.look()
    assert told == [41_000_000, 41_000_000 + SLACK_BYTES, 41_000_000]


def test_blanks_and_backslashes_of_mounts_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(
        "30 23 0:26 /machine-a\\134x2db /my\\040groups rw - cgroup2 cgroup2 rw\n"
    )
    (tmp_path / "proc/self/cgroup").write_text("0::/machine-a\\x2db/inner\n")
    (tmp_path / "my groups/inner").mkdir(parents=True)
    (tmp_path / "my groups/inner/memory.max").write_text("1000\n")
    assert group_bytes(tmp_path) == 1000
