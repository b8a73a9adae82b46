"""Preferences: what people want to be told of, where and when. Pure but for `book`, which keeps them."""
