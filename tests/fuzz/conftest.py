"""How long: seconds, or as many examples as `make fuzz` is told."""

from hypothesis import settings

settings.register_profile("fuzz", max_examples=5_000)
settings.register_profile("fuzz-long", max_examples=100_000)
