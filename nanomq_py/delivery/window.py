"""The part of a queue that is in memory: its first posts, in a lane for each key.

::

    disk     a1 b1 a2 a3 b2 c1 a4 │ b3 a5 ...
                                  └ loaded_to: what is behind waits on the disk only
    memory   a: a1 a2 a3 a4       a1 is being sent
             b: b1 b2             ready: b1 is next
             c: c1                waits: c1 has failed

A lane that is long while others have nothing is cut: the rest of it waits on the disk only,
and is read again once its first posts have gone.

Threads  belongs to the event loop; it knows no file, no clock and no socket
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

SHORT = 16  # posts that stay of a lane that is cut


@dataclass(slots=True)
class Waiting:
    """A post in memory.

    place  its place in the queue of its target
    first  the place that it had first: it is told by
    """

    place: int
    first: int
    key: str
    content_type: str
    body: bytes
    made_at: float
    attempts: int = 0


class State(Enum):
    """What a lane does."""

    READY = auto()  # its first post may be sent
    SENT = auto()  # is being sent
    WAITS = auto()  # has failed, and is tried again later
    LACKS = auto()  # all in memory has gone, and the rest is on the disk


@dataclass(eq=False, slots=True)
class Lane:
    """The posts of one key.

    cut_at  its posts from that place on, up to ``loaded_to``, are on the disk only; 0: none
    """

    key: str
    posts: deque[Waiting] = field(default_factory=deque)
    state: State = State.READY
    cut_at: int = 0


class Window:
    """The first posts of a queue.

    loaded_to  each waiting post up to this place is in a lane, or behind a cut
    """

    def __init__(self, most_posts: int, most_bytes: int) -> None:
        self.most_posts = most_posts
        self._most_bytes = most_bytes
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self.lacking: list[Lane] = []  # to be filled
        self.loaded_to = 0
        self.count = 0
        self.bytes = 0

    @property
    def room(self) -> int:
        """How many more posts may come in."""
        if self.bytes >= self._most_bytes:
            return 0
        return self.most_posts - self.count

    @property
    def room_bytes(self) -> int:
        return self._most_bytes - self.bytes

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def add(self, posts: Iterable[Waiting]) -> None:
        """Take the next posts of the queue, in their order."""
        for post in posts:
            self.loaded_to = post.place
            lane = self._lanes.get(post.key)
            if lane is None:
                lane = self._lanes[post.key] = Lane(post.key)
                self._ready.append(lane)
            if not lane.cut_at:
                self._append(lane, post)

    def _append(self, lane: Lane, post: Waiting) -> None:
        lane.posts.append(post)
        self.count += 1
        self.bytes += len(post.body)

    def take(self) -> Lane | None:
        """Return the next lane whose first post is to be sent; None: there is none."""
        if not self._ready:
            return None
        lane = self._ready.popleft()
        lane.state = State.SENT
        return lane

    def done(self, lane: Lane) -> None:
        """Take out the first post of a lane that was taken."""
        post = lane.posts.popleft()
        self.count -= 1
        self.bytes -= len(post.body)
        if lane.posts:
            self.ready(lane)
        elif lane.cut_at:
            lane.state = State.LACKS
            self.lacking.append(lane)
        else:
            del self._lanes[lane.key]

    def ready(self, lane: Lane) -> None:
        """Have the first post of a lane sent, behind those that are ready."""
        lane.state = State.READY
        self._ready.append(lane)

    def waits(self, lane: Lane) -> None:
        """Leave a lane that was taken alone, until it is said to be ready."""
        lane.state = State.WAITS

    def cut(self) -> bool:
        """Cut the longest lane; return whether that made room."""
        longest = max(self._lanes.values(), key=lambda lane: len(lane.posts), default=None)
        if longest is None or len(longest.posts) <= SHORT:
            return False
        while len(longest.posts) > SHORT:
            post = longest.posts.pop()
            longest.cut_at = post.place
            self.count -= 1
            self.bytes -= len(post.body)
        return True

    def fill(self, lane: Lane, posts: list[Waiting], read_to: int) -> None:
        """Give a lane that lacks them its next posts.

        read_to  these are all of its posts up to that place
        """
        for post in posts:
            self._append(lane, post)
        lane.cut_at = 0 if read_to >= self.loaded_to else read_to + 1
        if lane.posts:
            self.ready(lane)
        elif lane.cut_at:
            self.lacking.append(lane)
        else:
            del self._lanes[lane.key]
