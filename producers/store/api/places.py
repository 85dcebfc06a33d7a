"""Bulkheads: so many of a kind at once, and of them no client more than its share."""

from __future__ import annotations

from producers.store.problems import Kind, Problem


class Places:
    """Places for one kind of work. Lives in the event loop."""

    def __init__(self, what: str, most: int, share: float = 1.0) -> None:
        """`what` is the plural for sentences; `share` is what one client may have."""
        self._what = what
        self._most = most
        self._each = max(1, int(most * share))
        self._taken = 0
        self._by_client: dict[str, int] = {}

    def has_room(self, client: str) -> bool:
        """Whether this client would get one."""
        own = self._by_client.get(client, 0)
        return self._taken < self._most and own < self._each

    def take(self, client: str) -> None:
        """A place for this client. Raises Problem when there is none."""
        own = self._by_client.get(client, 0)
        if self._taken >= self._most:
            raise _none(f"{self._most} {self._what} here")
        if own >= self._each:
            raise _none(f"{self._each} {self._what} of one client")
        self._taken += 1
        self._by_client[client] = own + 1

    def give_back(self, client: str) -> None:
        """One that it has taken."""
        self._taken -= 1
        left = self._by_client.pop(client) - 1
        if left:
            self._by_client[client] = left


def _none(most: str) -> Problem:
    return Problem(Kind.BUSY, f"At most {most} at once.", 1)


class Held:
    """The places that one request holds: given back together, once."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[tuple[Places, str]] = []

    def take(self, places: Places, client: str) -> None:
        """One more place. Raises Problem."""
        places.take(client)
        self._held.append((places, client))

    def change(self, places: Places, client: str) -> None:
        """One of these for all that it holds. Raises Problem: then it keeps those."""
        places.take(client)
        self.give_back()
        self._held.append((places, client))

    def give_back(self) -> None:
        """All of them: what is left of the request holds none."""
        while self._held:
            places, client = self._held.pop()
            places.give_back(client)
