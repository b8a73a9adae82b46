"""The public harness for tests of applications and of other programs: servers that speak a protocol and nothing else."""
