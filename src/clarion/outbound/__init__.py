"""The only importer of an HTTP client: one guarded door to the outside.

Everything that Clarion fetches or posts elsewhere (keys of an identity provider, webhooks, push endpoints) goes through `Outbound`.
"""

from clarion.outbound.door import Answer, Outbound, Resolver
from clarion.outbound.operators import to_endpoint, to_networks

__all__ = ["Answer", "Outbound", "Resolver", "to_endpoint", "to_networks"]
