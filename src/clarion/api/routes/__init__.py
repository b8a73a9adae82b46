"""The doors, one module a resource; each says what is asked for, who may, how often, and calls a service."""
