"""Graphs made for other AnimateDiff packs, made into graphs of this pack's and ComfyUI's own nodes.

A file is read into a draft, which is the same for the editor's graphs and for prompts in API format. Rules turn the
nodes of other packs into nodes of today, and write into a report what they did. What a rule does not know stays as it
was. Standard library alone: no ComfyUI has to be there.
"""
