"""Who a client is, told from its handshake: tenants, their tokens, and the web pages that may connect."""

from app.identity.gate import Directory, Gate, Identity, Refusal
from app.identity.tenants import Tenant
from app.identity.tokens import SUBPROTOCOL, choose_subprotocol

__all__ = ["SUBPROTOCOL", "Directory", "Gate", "Identity", "Refusal", "Tenant", "choose_subprotocol"]
