"""Host names by which a server may be reached.

A page of another site can point its own name at this machine (DNS rebinding); its requests then
carry that name as host and origin alike, so only names that are known here are answered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

OWN = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Hosts:
    """Names that are answered.

    Attributes:
        names: in lower case, without ports and brackets.
        addresses: whether any IP address will do: nothing can point one elsewhere.
    """

    names: frozenset[str]
    addresses: bool

    @classmethod
    def of(cls, served: Iterable[str]) -> Hosts:
        """Allow this machine's own names and those that are served on or given.

        Where a server listens on all addresses, each of them will do.
        """
        names = {plain for name in (*OWN, *served) if (plain := name_in(name))}
        return cls(frozenset(names), bool(names & set(EVERYWHERE)))

    def include(self, host: str) -> bool:
        """Whether a request with this ``Host`` header is answered."""
        name = name_in(host)
        return name in self.names or (self.addresses and is_address(name))


def name_in(host: str) -> str:
    """The name in ``name:port``, ``[address]:port`` or either alone; "" where there is none."""
    host = host.strip()
    if is_address(host):  # an IPv6 address without brackets
        return host.lower()
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
