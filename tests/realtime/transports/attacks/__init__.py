"""Attacks on the one port, each a promise; test_attacks.py runs them."""
