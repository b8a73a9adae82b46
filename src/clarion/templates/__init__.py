"""Templates: what tenants write is rendered in processes that can be killed, never in the server's own."""
