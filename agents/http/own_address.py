"""The address of a worker: where it listens, what it tells other workers, and where it is asked."""

import socket
from urllib.parse import urlsplit

from schemas.errors import Fatal
from streams.settings import Settings
from streams.trusted import is_loopback

__all__ = ["advertised", "check_advertised", "host_told", "local"]

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_PORTS = {"http": 80, "https": 443}


def local(settings: Settings) -> str:
    """Where programs on the worker's own machine ask it, from the settings alone."""
    return _written(_scheme(settings), _EVERYWHERE.get(settings.http_host, settings.http_host),
                    settings.http_port)  # fmt: skip


def advertised(settings: Settings, port: int) -> str:
    """What other workers are told, `SCHEME://HOST:PORT`: `advertised_url`, or the host that the
    worker listens at, with the port that it has got. May look up the name of this machine.
    """
    if settings.advertised_url:
        found = urlsplit(settings.advertised_url)
        return _written(found.scheme, found.hostname or "", found.port or _PORTS[found.scheme])
    return _written(_scheme(settings), host_told(settings), port)


def host_told(settings: Settings) -> str:
    """The host of that address."""
    if settings.advertised_url:
        return urlsplit(settings.advertised_url).hostname or ""
    host = settings.http_host
    return socket.gethostname() if host in _EVERYWHERE else host


def check_advertised(settings: Settings) -> None:
    """Raise Fatal if the settings contradict each other, so that no worker could ask this one."""
    url = settings.advertised_url
    if settings.http_client_ca_file and not settings.http_certificate_file:
        raise Fatal(
            "http_client_ca_file asks for certificates of clients, and there is no https without "
            "http_certificate_file",
            remedy="Set http_certificate_file and http_key_file, or unset http_client_ca_file",
        )
    if not url:
        return
    if url.startswith("http:") and settings.http_certificate_file:
        raise Fatal(
            f"advertised_url {url} begins with http, and this worker serves https",
            remedy="Write https:// in advertised_url, or unset http_certificate_file",
        )
    host = host_told(settings)
    if is_loopback(host) and not is_loopback(settings.http_host):
        raise Fatal(
            f"advertised_url {url} is an address of this machine alone, and http_host "
            f"{settings.http_host} serves others",
            remedy="Set advertised_url to an address that the other workers reach",
        )


def _scheme(settings: Settings) -> str:
    return "https" if settings.http_certificate_file else "http"


def _written(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
