"""Example workflows on a real server: the gallery, runs at full size, the editor in a browser."""
