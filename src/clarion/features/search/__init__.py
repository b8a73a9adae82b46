"""Search over documents that are put into collections, and standing queries whose results are kept true as documents change."""
