"""The server hands the front end the pack's translations."""

from __future__ import annotations

from animatelcm.client.api import ComfyClient
from animatelcm.client.http import HttpServer
from animatelcm.tools.workflows import locales


def test_the_server_hands_out_the_texts(client: ComfyClient) -> None:
    texts = HttpServer(client.url).json("/i18n")
    for language in ("en", *locales.LANGUAGES):
        for name, expected in locales.read(language).items():
            found = texts[language][name.removesuffix(".json")]
            assert expected and all(found[key] == value for key, value in expected.items())
