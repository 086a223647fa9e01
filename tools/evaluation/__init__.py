"""How good clips are: distances and rates with their uncertainty, and the paper's table in miniature."""
