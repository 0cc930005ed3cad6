"""What the programs that we start get of our environment: the one place that says so.

Whoever is of a program's user reads its environment in /proc, and what it starts itself has it too.
"""

import os
from collections.abc import Sequence

from consul_kam.config import Settings

OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "CREDENTIALS_DIRECTORY")
SECRETS = ("CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "VAULT_TOKEN")
"""What no child needs that does not speak to Consul or Vault itself."""
PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE")
"""Without these, and LC_*, a program is hardly at home anywhere."""


def environment(without: Sequence[str]) -> dict[str, str]:
    """Ours, less some."""
    return {name: value for name, value in os.environ.items() if name not in without}


def without_secrets() -> dict[str, str]:
    """For Kamailio, whose configuration may name any variable, and for what restarts it."""
    return environment((*OURS, *SECRETS))


def used_by_consul_template(settings: Settings) -> dict[str, str]:
    """Without the tokens that it does not use: of Consul it gets a file, and Vault is ours to speak to."""
    consul = ("CONSUL_HTTP_TOKEN",) if settings.consul.token_file else ()
    vault = ("VAULT_TOKEN",) if settings.vault.secrets else ()
    return environment((*OURS, *consul, *vault))


def used_by_alerts(named: Sequence[str]) -> dict[str, str]:
    """For a program that gets all that it has to know otherwise: PLAIN, and what is `named`, whatever it is."""
    return {n: value for n, value in os.environ.items() if n in PLAIN or n.startswith("LC_") or n in named}
