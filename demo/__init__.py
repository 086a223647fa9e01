"""The embedded default, as it ships: its world, its words, and the weights behind the host's interfaces."""
