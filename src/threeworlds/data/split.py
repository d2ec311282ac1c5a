"""Which episode is for training, which for choosing, which for testing.

Always whole groups or whole episodes, never overlapping windows, and exact copies never on two sides.
The rule is a pure function of the episodes, so the same clips give the same split, whatever the machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SPLITS = tuple(SHARES)
UNUSED = ""  # episodes left out: the gap between parts of one film, and copies of training episodes
FEW_GROUPS = 10  # below this, films are cut in time
SHORTEST_CUT = 4  # episodes: train, gap, val, test


@dataclass(frozen=True, kw_only=True)
class Member:
    """What the split looks at in one episode."""

    digest: str  # of the pixels
    group: str  # "" : its own group
    frames: int
    heldout: bool = False  # kept for testing, by tag


def assign(members: Sequence[Member]) -> tuple[list[str], str]:
    """Episodes, in stored order -> (their splits, the name of the rule: "group" or "time")."""
    parts = _components(members)
    if len(parts) < FEW_GROUPS and max(map(len, parts)) >= SHORTEST_CUT:
        return _by_time(members), "time"
    return _by_group(members, parts), "group"


def split_digest(digests: Sequence[str], splits: Sequence[str]) -> str:
    """sha256 of the assignment, independent of the stored order."""
    lines = sorted(f"{digest} {split}" for digest, split in zip(digests, splits, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _components(members: Sequence[Member]) -> list[list[int]]:
    """Episodes tied by a shared group or by equal pixels, as lists of episode numbers (union-find)."""
    parent = list(range(len(members)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, member in enumerate(members):
        for key in (("pixels", member.digest), ("group", member.group)):
            if key[1]:
                parent[root(i)] = root(first.setdefault(key, i))
    parts = defaultdict(list)
    for i in range(len(members)):
        parts[root(i)].append(i)
    return list(parts.values())


def _by_group(members: Sequence[Member], parts: list[list[int]]) -> list[str]:
    """Longest part first, each to the split that it fills least: shares hold for every length of episode.

    Equal lengths are ordered by content digest, a fixed shuffle. With few parts the last two go to val and test,
    so that neither is empty.
    """
    size = [sum(members[i].frames for i in part) for part in parts]
    key = [min(members[i].digest for i in part) for part in parts]
    order = sorted(range(len(parts)), key=lambda p: (-size[p], key[p]))
    forced = dict(zip(order[:0:-1], ("test", "val"), strict=False)) if len(parts) < FEW_GROUPS else {}
    filled: Counter[str] = Counter()
    splits = [UNUSED] * len(members)
    for p in order:
        kept = any(members[i].heldout for i in parts[p])
        split = "test" if kept else forced.get(p) or min(SPLITS, key=lambda s: (filled[s] + size[p]) / SHARES[s])
        filled[split] += 0 if kept else size[p]
        for i in parts[p]:
            splits[i] = split
    return splits


def _by_time(members: Sequence[Member]) -> list[str]:
    """Each group in stored order: the first part trains, then a gap of one unused episode, then val, then test.

    Groups too short to be cut train. An episode whose pixels also occur on an earlier side is left out.
    """
    groups = defaultdict(list)
    for i, member in enumerate(members):
        groups[member.group or f"episode {i}"].append(i)
    splits = ["train"] * len(members)
    for part in groups.values():
        n = max(1, round(len(part) * SHARES["test"]))
        tail = [UNUSED] + ["val"] * n + ["test"] * n
        if len(part) >= SHORTEST_CUT:
            for i, split in zip(part[-len(tail) :], tail, strict=True):
                splits[i] = split
    return _without_copies(members, splits)


def _without_copies(members: Sequence[Member], splits: list[str]) -> list[str]:
    side: dict[str, str] = {}
    for split in SPLITS:
        for i, member in enumerate(members):
            if splits[i] == split and side.setdefault(member.digest, split) != split:
                splits[i] = UNUSED
    return splits
