"""Whose certificates are believed, as the variables of the environment say: looked at before anything listens."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx

from app.errors import StartError

# OpenSSL looks for a certificate of a folder under the hash of its subject.
_HASH = re.compile(r"[0-9a-f]{8}\.\d+")


@cache
def trusted() -> ssl.SSLContext:
    """What httpx believes: read once, since it takes tens of milliseconds and every tenant has a client.

    Raises `StartError` if it cannot be read, or if there is nothing in it.
    """
    if os.environ.get("SSL_CERT_FILE"):
        _check("SSL_CERT_FILE", may_be_folder=False)
    elif os.environ.get("SSL_CERT_DIR"):
        _check_folder("SSL_CERT_DIR")
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # certificates are looked at by now: what is left is the log of keys
        raise StartError("SSLKEYLOGFILE", f"{error.filename} cannot be written to: {error.strerror}") from error


def check_exporter() -> None:
    """Raise `StartError` if the exporter of traces is told to believe certificates that are not there."""
    for variable in (
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        if os.environ.get(variable):
            _check(variable, may_be_folder=True)


def _check(variable: str, *, may_be_folder: bool) -> None:
    path = os.environ[variable]
    if may_be_folder and os.path.isdir(path):
        _check_folder(variable)
        return
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise StartError(variable, f"{path} cannot be read: {error.strerror}") from error
    if not _holds_certificate(path):
        raise StartError(variable, f"{path} holds no certificate")


def _check_folder(variable: str) -> None:
    path = os.environ[variable]
    folders = [folder for folder in path.split(os.pathsep) if os.path.isdir(folder)]
    if not folders:
        raise StartError(variable, f"{path} is not a folder")
    if not any(_holds_certificate(file) for folder in folders for file in _hashed(folder)):
        raise StartError(variable, f"{path} holds no certificate under the name of its hash: run openssl rehash")


def _hashed(folder: str) -> Iterator[str]:
    return (os.path.join(folder, name) for name in os.listdir(folder) if _HASH.fullmatch(name))


def _holds_certificate(path: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except OSError:
        return False
    return context.cert_store_stats()["x509"] > 0
