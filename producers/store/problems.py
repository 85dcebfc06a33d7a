"""Every way a request can fail, as problem details (RFC 9457) with a stable code.

`type` is `/problems#<code>` and stays what it is: clients may switch on the code. The
page of that name lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from uuid import UUID


class Kind(Enum):
    """Code, HTTP status and title of each problem."""

    BAD_REQUEST = "bad-request", 400, "This is not HTTP as it should be"
    HEADERS_TOO_LARGE = "headers-too-large", 431, "The headers are too large"
    NOT_IMPLEMENTED = "not-implemented", 501, "This Store does not do that"
    OLD_HTTP = "http-version-not-supported", 505, "Not in this version of HTTP"
    MALFORMED_JSON = "malformed-json", 400, "The body is not JSON"
    INVALID_REQUEST = "invalid-request", 422, "The request breaks a rule of form"
    UNAUTHENTICATED = "unauthenticated", 401, "No valid token"
    ISSUER_AWAY = "issuer-unavailable", 503, "Tokens cannot be checked"
    FORBIDDEN = "forbidden", 403, "The token does not allow this"
    NOT_YOUR_ACCOUNT = "account-not-yours", 403, "Another account than the token names"
    FOREIGN_PAGE = "foreign-origin", 403, "A demo is for this machine alone"
    NOT_FOUND = "not-found", 404, "There is nothing here"
    UNKNOWN_TRANSFER = "unknown-transfer", 404, "No such transfer of yours"
    UNKNOWN_CHANGE = "unknown-change", 404, "No such change of yours"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "Not with this method"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", 415, "Not in this media type"
    TIMEOUT = "request-timeout", 408, "The request came too slowly"
    ID_TAKEN = "transfer-id-taken", 409, "The id belongs to another payment"
    CHANGE_ID_TAKEN = "change-id-taken", 409, "The id belongs to another change"
    KEY_REUSED = "idempotency-key-reused", 422, "The key came with another payment"
    TOO_LARGE = "too-large", 413, "The body is too large"
    TOO_MANY = "too-many-requests", 429, "Over the rate limit"
    BUSY = "busy", 503, "Too many requests at once"
    BACKLOG_FULL = "backlog-full", 503, "No room for more transfers"
    KAFKA_AWAY = "kafka-unavailable", 503, "Kafka cannot be written to"
    OUTCOME_UNKNOWN = "outcome-unknown", 503, "It is not known whether this was sent"
    JOURNAL_FAILED = "journal-failed", 503, "The journal cannot be written"
    CATCHING_UP = "catching-up", 503, "The log is still being read"
    DRAINING = "draining", 503, "This Store is leaving"
    INTERNAL = "internal", 500, "A mistake of the Store"

    def __init__(self, code: str, status: int, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: `field` is its name, as in the request."""

    field: str
    detail: str


class Problem(Exception):
    """A request that failed; `detail` is a sentence for the person who sent it."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        retry_after_seconds: int | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        challenge: str | None = None,
    ) -> None:
        """`challenge` is what WWW-Authenticate says (RFC 6750, 3)."""
        super().__init__(f"{kind.code}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.errors = errors
        if kind is Kind.UNAUTHENTICATED and challenge is None:
            challenge = "Bearer"
        self.challenge = challenge
        self.transfer_id: UUID | None = None  # of the transfer that was to be sent

    def about(self, transfer_id: UUID) -> Problem:
        """The same, and the client can repeat the transfer under its id."""
        self.transfer_id = transfer_id
        return self

    def body(self) -> dict[str, object]:
        """As in RFC 9457, with `code`, `transfer_id`, and `errors` of wrong fields."""
        body: dict[str, object] = {
            "type": f"/problems#{self.kind.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
        }
        if self.transfer_id is not None:
            body["transfer_id"] = str(self.transfer_id)
        if self.errors:
            body["errors"] = [
                {"field": each.field, "detail": each.detail} for each in self.errors
            ]
        return body
