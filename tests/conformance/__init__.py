"""One suite per interface that has several implementations; each implementation's tests inherit it."""
