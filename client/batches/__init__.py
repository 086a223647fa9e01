"""Batches: the rows of a table, run on several servers, over interruptions of each of them and of this program."""
