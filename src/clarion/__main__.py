"""`python -m clarion`, and the `clarion` command."""

from clarion.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
