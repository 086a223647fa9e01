"""What `dev.py` is made of: environments, hosts, the server process. Standard library only."""
