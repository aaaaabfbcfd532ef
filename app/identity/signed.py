"""Reads signed tokens (JWT), which say themselves whose they are and how long they hold."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.config import Settings
from app.errors import StartError

logger = logging.getLogger(__name__)

LEEWAY = 30
"""Seconds by which the clocks of issuer and service may differ."""

KEY_FILE_SETTING = "JWT_PUBLIC_KEY_FILE"
INSTALL = "needs the extra `jwt`: pip install 'pyjwt[crypto]>=2.13'"


class Claims(BaseModel):
    """What has to stand in a token. `exp` is in seconds since the epoch, up to the year 9999."""

    model_config = ConfigDict(frozen=True, strict=True)

    sub: Annotated[str, Field(min_length=1, max_length=256)]
    tenant: str
    exp: Annotated[float, Field(gt=0, lt=253_402_300_800)]


Verify = Callable[[str], Claims | None]


def load_verify(settings: Settings) -> Verify | None:
    """The check that the settings ask for: None without a key. Raises `StartError`."""
    if settings.jwt_secret is None and settings.jwt_public_key_file is None:
        return None
    algorithm, key = _algorithm_and_key(settings)
    import jwt

    def verify(token: str) -> Claims | None:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=settings.jwt_audience,
                issuer=settings.jwt_issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "sub"]},
            )
            # The library takes an empty one for none.
            if settings.jwt_audience is None and claims.get("aud") is not None:
                raise jwt.InvalidAudienceError
            return Claims.model_validate(claims)
        except jwt.InvalidTokenError as error:
            logger.info("a token is not valid: %s", type(error).__name__)
        except ValidationError as error:
            logger.info("a token is not valid: claim %s", error.errors(include_input=False)[0]["loc"][0])
        return None

    return verify


def _algorithm_and_key(settings: Settings) -> tuple[str, Any]:
    # The key decides about the algorithm, never the token: else a public key could pass for a secret (RFC 8725, 2.1).
    secret, path = settings.jwt_secret, settings.jwt_public_key_file
    try:
        # Only now: without a key the libraries need not be there.
        import jwt

        if path is not None:
            return "RS256", _public_key(path)
    except ImportError:
        raise StartError("JWT_SECRET" if path is None else KEY_FILE_SETTING, INSTALL) from None
    assert secret is not None
    key = secret.get_secret_value()
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(key)
    except jwt.InvalidKeyError:
        raise StartError("JWT_SECRET", f"is no secret but a public key: set {KEY_FILE_SETTING}") from None
    return "HS256", key


def _public_key(path: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        pem = path.read_bytes()
    except OSError as error:
        raise StartError(KEY_FILE_SETTING, f"{path} cannot be read: {error.strerror}") from error
    if b"PRIVATE KEY" in pem:
        raise StartError(KEY_FILE_SETTING, f"{path} holds a private key: this service needs only the public one")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise StartError(KEY_FILE_SETTING, f"{path} is no RSA public key in PEM form")
    if key.key_size < 2048:
        raise StartError(KEY_FILE_SETTING, f"{path}: the key has less than 2048 bits")
    return key
