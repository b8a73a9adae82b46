"""The simulator: the real parts of Clarion under faults that one seed decides, with exact oracles. `make sim` runs it."""
