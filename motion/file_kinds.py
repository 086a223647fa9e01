"""What a file is that holds no weights, from its first bytes."""

from __future__ import annotations

from .errors import AGAIN

KINDS = (
    (b"GGUF", "is a GGUF file, whose quantised weights other loaders read", "Use the .safetensors or .ckpt file that "
     "it was made from; there is no motion module as GGUF."),
    (b"\x89HDF", "is an HDF5 file of another library", "Use a version of it for PyTorch."),
    (b"\x93NUMPY", "is a NumPy array", "Use the file that it was taken from."),
    (b"\x1f\x8b", "is an archive (gzip)", "Unpack it, and use the file in it."),
    (b"7z\xbc\xaf", "is an archive (7z)", "Unpack it, and use the file in it."),
    (b"Rar!", "is an archive (rar)", "Unpack it, and use the file in it."),
    (b"\x28\xb5\x2f\xfd", "is an archive (zstd)", "Unpack it, and use the file in it."),
    (b"\x89PNG", "is a picture", "Choose the motion file that it may have been shown with."),
    (b"\xff\xd8\xff", "is a picture", "Choose the motion file that it may have been shown with."),
    (b"%PDF", "is a PDF document", "Choose a motion file."),
)
"""First bytes, what the file is, and what to do."""

LFS = b"version https://git-lfs"
WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")


def describe(head: bytes) -> tuple[str, str]:
    """Return what a file is, to go on from its name, and what to do."""
    if not head:
        return "is an empty file", AGAIN
    for magic, what, advice in KINDS:
        if head.startswith(magic):
            return what, advice
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(LFS):
        return ("is a git-lfs pointer, a short text that stands for the real file (`git lfs pull` fetches that)",
                "Fetch that, or download the file by itself.")
    if text.startswith(WEB_PAGE):
        return "is a web page, saved instead of the file that its address leads to", AGAIN
    if len(head) < 9:
        return f"is a file of only {len(head)} bytes", AGAIN
    try:
        return f"is a text that begins with {head[:60].decode()!r}", AGAIN
    except UnicodeDecodeError:
        return f"is of an unknown kind; it begins with the bytes {head[:8].hex(' ')}", AGAIN
