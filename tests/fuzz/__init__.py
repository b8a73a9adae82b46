"""Anything whatever against the decoders and against a whole server: in short here, for as long as you like by `make fuzz`."""
