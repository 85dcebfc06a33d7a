"""What a run of requests brought, however they were made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answers:
    """The answers of one run."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    broken: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    def report(self) -> dict[str, float]:
        """For the JSON report."""
        return {
            "requests": self.requests,
            "per_second": round(self.per_second),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "max_ms": self.max_ms,
            "refused": self.refused,
            "broken": self.broken,
        }
