"""The write-ahead log on disk (csrc/store/wal.h): what comes back, whatever happens."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest

from tests._core_test import ffi, lib
from tests.unit.clib import fail_each_allocation, nothing_leaks, slice_of
from tests.wal import PAGE, SEGMENT, Disk, Wal, commits_of, opened

LARGE = 700_000  # bytes: three blocks
SIZES = [1, 100, 4032, 4033, 9000, 0, 20_000, 3]
COMMITS = [bytes([n]) * size for n, size in enumerate(SIZES)]


def numbered(commits: list[bytes], first: int = 1) -> list[tuple[int, bytes]]:
    return list(enumerate(commits, first))


def filled(disk: Disk, commits: list[bytes]) -> None:
    with opened(disk.disk) as wal:
        for commit in commits:
            assert wal.append(commit) == 0


# --- checksum (RFC 3720, B.4)


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_is_that_of_the_rfc(data: bytes, crc: int) -> None:
    for function in (lib.nmq_crc32c, lib.nmq_crc32c_by_table):
        assert function(0, slice_of(data)) == crc
        for cut in range(len(data)):
            before, behind = data[:cut], data[cut:]  # they must live as long as the calls
            assert function(function(0, slice_of(before)), slice_of(behind)) == crc


# --- what is appended comes back


@pytest.mark.parametrize("length", [3071, 3072, 3073, 6144, 6151, 20_000])
def test_a_long_checksum_is_that_of_its_parts(length: int) -> None:
    data = bytes((7 * n + n // 251) % 256 for n in range(length))
    whole = lib.nmq_crc32c(5, slice_of(data))
    assert whole == lib.nmq_crc32c_by_table(5, slice_of(data))
    parts = 5
    for at in range(0, length, 1000):
        part = data[at : at + 1000]  # it must live as long as the call
        parts = lib.nmq_crc32c(parts, slice_of(part))
    assert whole == parts


def test_commits_come_back_in_their_order() -> None:
    with nothing_leaks(), Disk() as disk:
        filled(disk, COMMITS)
        assert commits_of(disk) == numbered(COMMITS)


def test_a_log_goes_on_where_it_ended() -> None:
    with Disk() as disk:
        for n in range(len(COMMITS)):
            filled(disk, COMMITS[n : n + 1])
        assert commits_of(disk) == numbered(COMMITS)


def test_a_new_log_is_empty_and_writes_nothing() -> None:
    with Disk() as disk:
        assert commits_of(disk) == []
        assert disk.files() == []


def test_a_large_commit_goes_over_several_blocks_and_files() -> None:
    with Disk() as disk:
        large = os.urandom(LARGE)
        with opened(disk.disk, segment_bytes=1 << 18) as wal:
            assert [wal.append(b"a"), wal.append(large), wal.append(b"b")] == [0, 0, 0]
        assert len(disk.files()) == 3
        assert commits_of(disk) == [(1, b"a"), (2, large), (3, b"b")]


def test_a_small_commit_takes_one_page() -> None:
    with Disk() as disk:
        filled(disk, [b"x"] * 7)
        data = disk.bytes_of("000001.seg")[:]
        assert [data[at : at + 4] for at in range(0, SEGMENT, PAGE)] == [b"NMQL"] * 7 + [
            bytes(4)
        ]


def test_files_have_one_size_from_their_birth() -> None:
    with Disk() as disk:
        filled(disk, COMMITS)
        assert {len(disk.bytes_of(name)) for name in disk.files()} == {SEGMENT}


def test_the_time_of_the_last_commit_is_known() -> None:
    with Disk() as disk:
        with opened(disk.disk) as wal:
            assert [wal.append(b"a", 1000), wal.append(b"b", 2000)] == [0, 0]
        with opened(disk.disk) as wal:
            assert wal.it.wall_ms == 2000


# --- space


def test_files_that_are_needed_no_more_are_used_again() -> None:
    with Disk() as disk:
        with opened(disk.disk) as wal:
            for n in range(1, 101):
                assert wal.append(bytes([n]) * 9000) == 0
                wal.keep_from(max(1, n - 3))
                assert wal.tidy() == 0
            most = len(disk.files())
            first = disk.files()[0]
        assert most <= 5
        assert first > "000001.seg"
        assert [n for n, _ in commits_of(disk)] == [96, 97, 98, 99, 100]


def test_nothing_is_freed_before_a_commit_has_said_so() -> None:
    with Disk() as disk, opened(disk.disk) as wal:
        for n in range(20):
            assert wal.append(bytes([n]) * 9000) == 0
        wal.keep_from(19)
        assert wal.tidy() == 0
        assert disk.files()[0] == "000001.seg"
        assert wal.append(b"") == 0
        assert wal.tidy() == 0
        assert disk.files()[0] != "000001.seg"


def test_nothing_is_freed_while_somebody_reads() -> None:
    with Disk() as disk, opened(disk.disk) as wal:
        lib.test_disk_set_held(disk.it, True)
        for n in range(1, 21):
            assert wal.append(bytes([n]) * 9000) == 0
            wal.keep_from(n)
            assert wal.tidy() == 0
        assert disk.files()[0] == "000001.seg"
        assert commits_of(disk)[-1] == (20, bytes([20]) * 9000)
        assert lib.nmq_wal_used(wal.it) <= 2 * SEGMENT  # the committer tells nothing again
        lib.test_disk_set_held(disk.it, False)
        assert wal.tidy() == 0
        assert disk.files()[0] > "000005.seg"


def test_a_full_log_takes_nothing_and_goes_on_when_there_is_room() -> None:
    with Disk() as disk, opened(disk.disk, bytes_max=2 * SEGMENT) as wal:
        sent = []
        while (status := wal.append(bytes([len(sent)]) * 9000)) == 0:
            sent.append(bytes([len(sent)]) * 9000)
        assert status == lib.NMQ_ENOSPC
        assert commits_of(disk) == numbered(sent)
        wal.keep_from(len(sent))
        assert wal.append(b"small") == 0
        assert wal.tidy() == 0
        assert wal.append(b"x" * 9000) == 0
        assert commits_of(disk)[1:] == [
            (len(sent) + 1, b"small"),
            (len(sent) + 2, b"x" * 9000),
        ]


def test_a_full_disk_is_no_failure() -> None:
    with Disk() as disk, opened(disk.disk) as wal:
        lib.test_disk_set_room(disk.it, SEGMENT + PAGE)
        sent = []
        while (status := wal.append(bytes([len(sent)]) * 9000)) == 0:
            sent.append(bytes([len(sent)]) * 9000)
        assert (status, wal.it.segments.error) == (lib.NMQ_ENOSPC, errno.ENOSPC)
        assert disk.files() == ["000001.seg"]
        lib.test_disk_set_room(disk.it, 0)
        assert wal.append(b"again") == 0
        assert commits_of(disk) == numbered([*sent, b"again"])


def test_room_is_what_can_be_appended() -> None:
    with Disk() as disk, opened(disk.disk, bytes_max=4 * SEGMENT) as wal:
        for size in SIZES:
            assert wal.append(bytes(size)) == 0
            room = lib.nmq_wal_room(wal.it)
            assert room < 4 * SEGMENT
            copied = disk.copy()
            with copied, opened(copied.disk, bytes_max=4 * SEGMENT) as again:
                assert lib.nmq_wal_room(again.it) == room
                assert again.append(bytes(room)) == 0


def test_a_file_of_another_size_is_read_and_then_removed() -> None:
    with Disk() as disk:
        filled(disk, COMMITS)
        with opened(disk.disk, segment_bytes=2 * SEGMENT) as wal:
            assert wal.replay() == numbered(COMMITS)
            for n in range(30):
                assert wal.append(bytes([n]) * 9000) == 0
            wal.keep_from(30 + len(COMMITS))
            assert wal.append(b"") == 0
            assert wal.tidy() == 0
            assert {len(disk.bytes_of(name)) for name in disk.files()} == {2 * SEGMENT}


# --- a cut


def end_of(disk: Disk) -> tuple[str, int]:
    """Return the file and the place where the next block would lie."""
    with opened(disk.disk) as wal:
        segment = wal.it.segments.at[wal.it.active].number
        return f"{segment:06}.seg", wal.it.at


@pytest.mark.parametrize("sectors", [b"\0", b"\1", b"\2", b"\3", b"\0\1", b"\1\0", b"\1\2"])
def test_a_torn_commit_is_gone_and_no_other(sectors: bytes) -> None:
    with Disk() as disk, opened(disk.disk) as wal:
        for commit in COMMITS:
            assert wal.append(commit) == 0
        lib.test_disk_set_lying(disk.it, True)
        assert wal.append(b"y" * 100_000) == 0
        with disk.copy() as whole:
            assert commits_of(whole) == numbered([*COMMITS, b"y" * 100_000])
        disk.cut(sectors)
        after = commits_of(disk)
        expected = [*COMMITS, *[b"y" * 100_000] * (sectors == b"\1")]
        assert after == numbered(expected)
        filled(disk, [b"next"])
        assert commits_of(disk) == numbered([*expected, b"next"])


def test_parts_of_two_torn_commits_are_not_taken_for_one() -> None:
    commits = [bytes([n]) * 1_000_000 for n in (1, 2)]
    with Disk() as disk:
        with opened(disk.disk, segment_bytes=1 << 22, bytes_max=1 << 24) as wal:
            assert wal.append(b"safe") == 0
            assert wal.append(commits[0]) == 0
        name = disk.files()[0]
        kept = disk.bytes_of(name)[PAGE + (1 << 18) : 1 << 22]
        disk.bytes_of(name)[PAGE : PAGE + (1 << 18)] = bytes(1 << 18)  # its first block
        assert commits_of(disk) == [(1, b"safe")]
        with opened(disk.disk, segment_bytes=1 << 22, bytes_max=1 << 24) as wal:
            assert wal.append(commits[1]) == 0
        disk.bytes_of(name)[PAGE + (1 << 18) : 1 << 22] = kept  # it has only got so far
        assert commits_of(disk) == [(1, b"safe")]


LAST = 12


def test_every_byte_of_the_last_blocks_that_is_damaged_is_seen() -> None:
    """What is behind a damaged block was safe, so the log is not taken for a shorter one."""
    commits = [bytes([n]) * 40 for n in range(LAST)]
    with Disk() as disk:
        with opened(disk.disk, segment_bytes=16 * PAGE) as wal:
            for commit in commits:
                assert wal.append(commit) == 0
        data = disk.bytes_of("000001.seg")
        for block, byte in itertools.product(range(LAST), range(64 + 40)):
            at = block * PAGE + byte
            before = data[at]
            data[at] = bytes([before[0] ^ 1 << byte % 8])
            check_damage(disk, commits, block, at // PAGE * PAGE)
            data[at] = before
        assert commits_of(disk) == numbered(commits)


@pytest.mark.parametrize("unit", [512, PAGE])
def test_zeros_in_place_of_a_sector_are_seen(unit: int) -> None:
    commits = [bytes([n + 1]) * 3900 for n in range(LAST)]
    with Disk() as disk:
        with opened(disk.disk, segment_bytes=16 * PAGE) as wal:
            for commit in commits:
                assert wal.append(commit) == 0
        data = disk.bytes_of("000001.seg")
        for at in range(0, LAST * PAGE, unit):
            before = data[at : at + unit]
            data[at : at + unit] = bytes(unit)
            check_damage(disk, commits, at // PAGE, at // PAGE * PAGE)
            data[at : at + unit] = before


def test_a_log_that_was_cut_anywhere_is_that_of_the_commits_before() -> None:
    commits = [bytes([n]) * 40 for n in range(LAST)]
    with Disk() as disk:
        with opened(disk.disk, segment_bytes=16 * PAGE) as wal:
            for commit in commits:
                assert wal.append(commit) == 0
        data = disk.bytes_of("000001.seg")
        whole = data[:]
        for block, byte in itertools.product(range(LAST), [*range(64 + 40), 512, PAGE]):
            at = block * PAGE + byte
            data[at:] = bytes(len(whole) - at)
            rest = whole[at : block * PAGE + 104]
            expected = commits[: block + (not any(rest))]
            assert commits_of(disk) == numbered(expected), (block, byte)
            data[:] = whole


def check_damage(disk: Disk, commits: list[bytes], block: int, at: int) -> None:
    """The last block may be torn; any other was safe once."""
    if block == len(commits) - 1:
        assert commits_of(disk) == numbered(commits[:-1])
        return
    with opened(disk.disk) as wal:
        assert wal.status == lib.NMQ_ECORRUPT
        found = wal.found
        assert (found["bad_segment"], found["bad_at"]) == (1, at)
        assert (found["next_segment"], found["next_at"]) == (1, at + PAGE)
        assert found["next_sequence"] == block + 2
    kept = [c for c in numbered(commits) if c[0] != block + 1]
    assert commits_of(disk, skip=True) == kept


def places(disk: Disk, commits: list[bytes]) -> list[tuple[int, int]]:
    """Return segment and offset of each block of one commit, and of where the next one goes."""
    where = []
    with opened(disk.disk) as wal:
        for commit in commits:
            assert wal.append(commit) == 0
            where.append((wal.it.segments.at[wal.it.active].number, wal.it.at))
    full = {SEGMENT}
    return [(1, 0)] + [(n + 1, 0) if at in full else (n, at) for n, at in where]


# one page; two, of which the last byte counts; up to a segment's end, and over it
BORDERS = [4032, 8128, SEGMENT - 5 * PAGE - 64, 10, SEGMENT - 64, 4033, 30_000, 5]


@pytest.mark.parametrize("lost", range(len(BORDERS) - 1))
def test_what_is_said_of_damage_is_right_at_borders(lost: int) -> None:
    commits = [bytes([n + 1]) * size for n, size in enumerate(BORDERS)]
    with Disk() as disk:
        where = places(disk, commits)
        segment, at = where[lost]
        disk.bytes_of(f"{segment:06}.seg")[at + 64] = b"\xff"
        with opened(disk.disk) as wal:
            assert wal.status == lib.NMQ_ECORRUPT
            found = wal.found
        assert (found["bad_segment"], found["bad_at"]) == (segment, at)
        assert (found["next_segment"], found["next_at"]) == where[lost + 1]
        assert found["next_sequence"] == lost + 2
        kept = [one for one in numbered(commits) if one[0] != lost + 1]
        with opened(disk.disk, skip=True) as wal:
            assert (wal.found["damaged"], wal.found["lost"]) == (1, 1)
        assert commits_of(disk, skip=True) == kept


@pytest.mark.parametrize("last", range(1, len(BORDERS)))
def test_where_a_torn_commit_is_is_said_at_borders(last: int) -> None:
    commits = [bytes([n + 1]) * size for n, size in enumerate(BORDERS[: last + 1])]
    with Disk() as disk:
        segment, at = places(disk, commits)[last]
        disk.bytes_of(f"{segment:06}.seg")[at + 64] = b"\xff"
        with opened(disk.disk) as wal:
            assert wal.status == 0
            assert (wal.found["torn_segment"], wal.found["torn_at"]) == (segment, at)
        assert commits_of(disk) == numbered(commits[:-1])


def test_a_commit_is_as_old_as_its_blocks_say() -> None:
    with Disk() as disk:
        with opened(disk.disk) as wal:
            for wall_ms in (7, 9, 8):
                assert wal.append(b"x" * 50_000, wall_ms) == 0
        with opened(disk.disk) as wal:
            assert wal.it.wall_ms == 8
            seen = []

            @ffi.callback("nmq_wal_commit_fn")  # type: ignore[untyped-decorator, unused-ignore]
            def take(*_: object) -> int:
                seen.append(wal.it.wall_ms)
                return 0

            assert lib.nmq_wal_replay(wal.it, False, take, ffi.NULL) == 0
            assert seen == [7, 9, 8]


def test_a_log_goes_on_behind_what_is_damaged() -> None:
    with Disk() as disk:
        filled(disk, COMMITS)
        data = disk.bytes_of("000001.seg")
        data[5 * PAGE + 100] = b"\xff"  # in the one of 9,000 bytes
        with opened(disk.disk, skip=True) as wal:
            assert wal.found["damaged"] == 1
            assert wal.append(b"more") == 0
        expected = [c for c in numbered([*COMMITS, b"more"]) if c[1] != COMMITS[4]]
        assert commits_of(disk, skip=True) == expected


def test_a_file_that_is_missing_is_named() -> None:
    with Disk() as disk:
        filled(disk, [b"x" * 30_000] * 5)
        for missing in (1, 2, 3):
            with disk.copy() as broken:
                broken.disk.ops.remove(broken.disk, f"{missing:06}.seg".encode())
                with opened(broken.disk) as wal:
                    assert wal.status == lib.NMQ_ECORRUPT
                    assert wal.found["missing"] == missing


def test_what_a_later_version_wrote_is_not_read() -> None:
    with Disk() as disk:
        filled(disk, [b"old", b"new"])
        data = disk.bytes_of("000001.seg")
        data[PAGE + 8] = b"\x02"
        counted = data[PAGE + 8 : PAGE + 64 + 3]
        crc = lib.nmq_crc32c(0, slice_of(counted))
        data[PAGE + 4 : PAGE + 8] = crc.to_bytes(4, "little")
        with opened(disk.disk) as wal:
            assert wal.status == lib.NMQ_ENEWER


def test_what_is_no_segment_is_left_alone() -> None:
    with Disk() as disk:
        filled(disk, COMMITS)
        file = ffi.new("int *")
        for name in (
            b"lock",
            b"1.seg",
            b"000000.seg",
            b"9999999999.seg",
            b"000001.seg.bak",
        ):
            assert disk.disk.ops.open(disk.disk, name, True, file) == 0
        assert commits_of(disk) == numbered(COMMITS)


def test_an_empty_or_odd_file_is_no_harm() -> None:
    with Disk() as disk:
        filled(disk, COMMITS)
        last = len(disk.files())
        file = ffi.new("int *")
        for number, size in ((last + 1, 0), (last + 2, PAGE + 5)):
            assert (
                disk.disk.ops.open(disk.disk, f"{number:06}.seg".encode(), True, file) == 0
            )
            zeros = bytes(size)
            part = ffi.new("nmq_bytes *", slice_of(zeros))
            assert disk.disk.ops.write(disk.disk, file[0], 0, part, 1) == 0
        more = [b"z" * 30_000] * 3
        filled(disk, more)
        assert commits_of(disk) == numbered([*COMMITS, *more])


# --- what fails


def story(wal: Wal, acknowledged: list[bytes]) -> None:
    """Append, free and go on, as long as the log takes it."""
    for n in range(12):
        commit = bytes([n]) * (9000 if n % 3 else 50_000)
        if wal.append(commit) == 0:
            acknowledged.append(commit)
        wal.keep_from(max(1, wal.it.sequence - 2))
        wal.tidy()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_each_operation_that_fails_costs_nothing_that_was_acknowledged(error: int) -> None:
    for op in itertools.count(1):
        with nothing_leaks(), Disk() as disk:
            disk.fail(op, error)
            acknowledged: list[bytes] = []
            with opened(disk.disk) as wal:
                opened_well = wal.status == 0
                if opened_well:
                    story(wal, acknowledged)
                failed = bool(wal.it.failed)
            disk.fail(0, 0)
            if not opened_well:
                assert commits_of(disk) == []
                continue
            for choices, names in ((b"\0", 0), (b"\1", 9), (b"\0\1\2", 1)):
                with disk.copy() as alive:
                    alive.cut(choices, names)
                    check_story(alive, acknowledged)
            disk.cut(b"\0", 0)
            check_story(disk, acknowledged)
            if op > disk.ops():
                assert not failed
                assert len(acknowledged) == 12
                return


def check_story(disk: Disk, acknowledged: list[bytes]) -> None:
    """The last two that were acknowledged are there, and one may follow them."""
    commits = [commit for _, commit in commits_of(disk)]
    wanted = acknowledged[-2:]
    assert any(commits[n : n + len(wanted)] == wanted for n in range(len(commits) + 1))
    again = commits_of(disk)
    assert [commit for _, commit in again] == commits
    filled(disk, [b"on"])
    assert commits_of(disk)[-1][1] == b"on"


def test_nothing_is_acknowledged_after_a_failed_sync() -> None:
    with Disk() as disk, opened(disk.disk) as wal:
        assert wal.append(b"a") == 0
        disk.fail(disk.ops() + 2, errno.EIO)  # write, sync
        assert wal.append(b"b") == lib.NMQ_EIO
        assert wal.it.segments.error == errno.EIO
        assert wal.append(b"c") == lib.NMQ_EIO
        assert wal.tidy() == lib.NMQ_EIO


def test_without_memory_nothing_is_lost() -> None:
    with Disk() as disk, opened(disk.disk) as wal:
        assert fail_each_allocation(lambda: wal.append(b"a" * 50_000), lambda: None) == 0
        assert fail_each_allocation(lambda: wal.append(b"b"), lambda: None) == 0
        assert commits_of(disk) == [(1, b"a" * 50_000), (2, b"b")]


# --- a folder


def folder(path: Path) -> tuple[int, object]:
    made, error = ffi.new("nmq_disk **"), ffi.new("int *")
    return lib.nmq_disk_folder_open(str(path).encode(), made, error), made[0]


def test_a_folder_keeps_the_log(tmp_path: Path) -> None:
    place = tmp_path / "store"
    with nothing_leaks():
        status, disk = folder(place)
        assert status == 0
        with opened(disk) as wal:
            for commit in COMMITS:
                assert wal.append(commit) == 0
        lib.nmq_disk_folder_close(disk)
        status, disk = folder(place)
        with opened(disk) as wal:
            assert wal.replay() == numbered(COMMITS)
        lib.nmq_disk_folder_close(disk)
    assert place.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in place.iterdir()} == {0o600}


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    _, first = folder(tmp_path / "store")
    assert folder(tmp_path / "store")[0] == lib.NMQ_ECLOSED
    lib.nmq_disk_folder_close(first)
    status, second = folder(tmp_path / "store")
    assert status == 0
    lib.nmq_disk_folder_close(second)


def look(path: Path) -> tuple[int, object, bool]:
    made, error = ffi.new("nmq_disk **"), ffi.new("int *")
    in_use = ffi.new("bool *")
    status = lib.nmq_disk_folder_look(str(path).encode(), made, in_use, error)
    return status, made[0], in_use[0]


def test_a_folder_is_read_beside_the_process_that_has_it(tmp_path: Path) -> None:
    place = tmp_path / "store"
    with nothing_leaks():
        _, mine = folder(place)
        with opened(mine) as wal:
            for commit in COMMITS:
                assert wal.append(commit) == 0
            status, disk, in_use = look(place)
            assert (status, in_use) == (0, True)
            with opened(disk) as read:
                assert read.replay() == numbered(COMMITS)
                assert read.append(b"no") == lib.NMQ_EIO
            for n in range(8):  # what is read stays
                assert wal.append(bytes(9000)) == 0
                wal.keep_from(len(COMMITS) + n)
                assert wal.tidy() == 0
            assert (place / "000001.seg").exists()
            lib.nmq_disk_folder_close(disk)
            assert wal.tidy() == 0
            assert not (place / "000001.seg").exists()
        lib.nmq_disk_folder_close(mine)
        status, disk, in_use = look(place)
        assert (status, in_use) == (0, False)
        lib.nmq_disk_folder_close(disk)


def test_to_read_a_folder_makes_nothing(tmp_path: Path) -> None:
    assert look(tmp_path / "store")[0] == lib.NMQ_ENOENT
    assert not (tmp_path / "store").exists()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert folder(tmp_path / "file")[0] == lib.NMQ_ENOENT
    assert folder(tmp_path / "no" / "parent")[0] == lib.NMQ_ENOENT
