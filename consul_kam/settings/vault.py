"""Stand-in for the keys of `[vault]`, until branch vault9 is merged."""

from typing import Annotated, Literal

from consul_kam.settings.schema import Keys, Line, doc
from consul_kam.settings.schema import Path as PathText


class Secret(Keys, frozen=True):
    """One secret."""

    kind: Annotated[Literal["kv", "database", "consul", "pki"], doc("What it is.")] = "kv"
    path: Annotated[Line, doc("Where in Vault.")] = ""
    text: Annotated[Line, doc("One more field, made of the others.")] = ""


class Vault(Keys, frozen=True):
    """Secrets from Vault."""

    address: Annotated[Line, doc("Vault.")] = ""
    directory: Annotated[PathText, doc("Where its secrets are files.")] = "/run/consul_kam/secrets"
    auth: Annotated[dict[str, Line], doc("Login.")] = {}
    secrets: dict[str, Secret] = {}
