"""Training inside the host: the network that is trained, data, runs, previews, and runs outside of the graph."""
