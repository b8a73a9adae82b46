"""The Socket.IO server against what the protocols, the official programs and their captures say."""
