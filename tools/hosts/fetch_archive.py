"""Download one file of a package from where pip would take it, and run nothing of it.

    python fetch_archive.py PACKAGE FILE TARGET

`pip download` asks the build code of a source archive for its metadata, and pip has no command that only downloads. So
pip's own finder and session do it: they know the indexes, proxies, certificates and passwords that pip is set up with.
Runs in the Python of an environment with pip.
"""

from __future__ import annotations

import sys
from optparse import Values
from pathlib import Path

from pip._internal.commands.download import DownloadCommand

CHUNK = 1 << 20


class FetchCommand(DownloadCommand):
    """`pip download` up to the file, without what comes after it."""

    def run(self, options: Values, args: list[str]) -> int:
        package, name, target = args
        session = self.get_default_session(options)
        finder = self._build_package_finder(options=options, session=session, ignore_requires_python=True)
        links = [found.link for found in finder.find_all_candidates(package) if found.link.filename == name]
        if not links:
            print(f"there is no {name} of the package {package} where pip looks; `pip config list` shows where that is",
                  file=sys.stderr)
            return 1
        # A server may otherwise pack the file once more.
        answer = session.get(links[0].url_without_fragment, headers={"Accept-Encoding": "identity"}, stream=True)
        answer.raise_for_status()
        with Path(target).open("wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
        return 0


if __name__ == "__main__":
    sys.exit(FetchCommand("download", "").main(sys.argv[1:]))
