"""Every error that consul_kam raises on purpose; the class says who can mend it."""

LONGEST = 1_000
"""Characters of a message: what is quoted in it may be somebody else's, and megabytes long."""


def one_line(text: str) -> str:
    """Text for a terminal, a log and JSON: what is not printable is escaped, what is longer than LONGEST is cut."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: LONGEST + 1])
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


class ConsulKamError(Exception):
    """Base of all. `str(error)` is the one line a user reads; it starts with "cannot"."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(ConsulKamError):
    """The configuration or the command line is wrong: the operator's to mend (exit code 2)."""


class ListError(ConsulKamError):
    """A whole list file cannot be used.

    `line` and `column` count from 1; 0 means the file as a whole.
    """

    def __init__(self, file: str, line: int, column: int, reason: str) -> None:
        self.file, self.line, self.column, self.reason = file, line, column, reason
        super().__init__(f"cannot use {file}:{line}:{column}: {reason}")


class RpcError(ConsulKamError):
    """Base of what can go wrong between us and Kamailio's RPC interface."""


class RpcFault(RpcError):
    """Kamailio answered, and the answer is a fault (`code`, `reason` as it gave them)."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        self.method, self.code, self.reason = method, code, reason
        super().__init__(f"cannot {method}: {code} {reason}")


class RpcUnreachable(RpcError):
    """Nobody answers at the address: Kamailio is down, or the address or its permissions are wrong (exit code 3)."""


class RpcTimeout(RpcError):
    """A request went out and no reply came before the deadline: it may or may not have been carried out."""


class RpcMalformed(RpcError):
    """What came back is no reply of this protocol."""


class RpcTooBig(RpcError):
    """The reply is over a limit of the transport; the message names the setting that lifts it."""


class ConsulError(ConsulKamError):
    """Base of what can go wrong between us and Consul, and an answer of another shape itself."""


class ConsulUnreachable(ConsulError):
    """No answer: Consul is down or silent, or the address is wrong. What was asked may have been done."""


class ConsulRefused(ConsulError):
    """Consul answered, with an error (`code` of HTTP): a token without the right, no leader."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


class VaultError(ConsulKamError):
    """Base of what can go wrong between us and Vault, and an answer that we cannot use itself."""


class VaultAway(VaultError):
    """No answer, or one of a Vault that is sealed, not initialised or overloaded: all of it has to wait."""


class VaultRefused(VaultError):
    """Vault answered, with an error (`code` of HTTP) about this one request."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


class VaultForgot(VaultRefused):
    """Vault does not know our token: it was revoked, or has ended."""


class InvalidTransition(ConsulKamError):
    """A state machine met an event that its table does not know: a defect of ours."""


class Unanswered(ConsulKamError):
    """Whom a probe asked does not answer, or says something else than what it is asked for."""
