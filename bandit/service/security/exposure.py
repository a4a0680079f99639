"""Whether the service may start where it is told to: open to the network only if that is meant."""

from __future__ import annotations

import ipaddress

from bandit.errors import SettingError
from bandit.service.security.key_ring import KeyRing
from bandit.service.settings import Settings


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches the address; a name other than localhost may not.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: Settings, ring: KeyRing) -> None:
    """Refuses to listen on a network with nothing asked of anyone.

    Raises:
        SettingError: the address is a public one, and there is no key that opens anything.
    """
    asks = ring.has_keys or settings.jwt_jwks_url
    if is_loopback(settings.host) or asks or settings.open_to_network:
        return
    raise SettingError(
        f"COPYLOOP_HOST is {settings.host!r}, which others can reach, and there are no keys: "
        "anyone could show what they like and teach the policy what they like. Make one with "
        "`copyloop keys create`, listen on 127.0.0.1, or set COPYLOOP_OPEN_TO_NETWORK=true if "
        "something in front keeps strangers out"
    )
