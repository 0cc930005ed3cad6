"""What the programs that `run` starts get of our environment."""

import os
from collections.abc import Sequence

from consul_kam.config import Settings

OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "CREDENTIALS_DIRECTORY")
SECRETS = ("CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "VAULT_TOKEN")
"""What no child needs that does not speak to Consul or Vault itself."""


def environment(without: Sequence[str]) -> dict[str, str]:
    """Ours, less some."""
    return {name: value for name, value in os.environ.items() if name not in without}


def used_by_consul_template(settings: Settings) -> dict[str, str]:
    """Without the tokens that it does not use: of Consul it gets a file, and Vault is ours to speak to."""
    consul = ("CONSUL_HTTP_TOKEN",) if settings.consul.token_file else ()
    vault = ("VAULT_TOKEN",) if settings.vault.secrets else ()
    return environment((*OURS, *consul, *vault))
