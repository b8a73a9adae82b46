"""Events: what people did, taken in, counted, and found again."""
