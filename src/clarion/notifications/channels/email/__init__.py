"""Email: the message is written here, whole (`headers`, `markup`, `plain`, `mime`, `message`), and handed to mail servers (`smtp`)."""
