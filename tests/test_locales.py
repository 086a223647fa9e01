"""Every text of a node and every help page is there in each language that the pack speaks, and in no older wording."""

from __future__ import annotations

import re

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.tools.workflows import locales

register_folders()
WIDE = "[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]"


def test_the_english_texts_are_those_of_the_code():
    """Where they differ, `python dev.py locales` writes them anew, and each translation has to follow."""
    assert locales.read("en") == locales.english()
    assert locales.english()["settings.json"], "no script adds a setting any more"


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_a_translation_is_complete(language):
    assert locales.lacking(language) == []


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_a_translation_is_one(language):
    """Tooltips and pages are in the language, and sockets keep the ids by which a workflow knows them."""
    english = dict(locales.leaves(locales.english()))
    own = dict(locales.leaves(locales.read(language)))
    told = [path for path in english if path[-1] in ("tooltip", "description")]
    assert not [path for path in told if own[path] == english[path]]
    for page in sorted(locales.PAGES.glob(f"*/{language}.md")):
        text, original = (page.with_name(f"{name}.md").read_text(encoding="utf-8") for name in (language, "en"))
        title = own["nodeDefs.json", page.parent.name, "display_name"]
        assert text.startswith(f"# {title}\n"), page
        for socket in locales.english()["nodeDefs.json"][page.parent.name]["inputs"]:
            assert f"**{socket}**" in text, (page, socket)
        assert sorted(re.findall(r"\]\(([^)]+)\)", text)) == sorted(re.findall(r"\]\(([^)]+)\)", original)), page
        assert (re.search(WIDE, text) is not None) == (language in ("zh", "ja", "ko")), page


def test_french_has_non_breaking_spaces():
    """Else a line of the page may begin with a colon. A line that is indented is an example."""
    texts = {"/".join(path): text for path, text in locales.leaves(locales.read("fr"))}
    pages = sorted(locales.PAGES.glob("*/fr.md"))
    texts |= {page.parent.name: re.sub(r"^    .*$", "", page.read_text(encoding="utf-8"), flags=re.M) for page in pages}
    plain = {where: re.sub(r"`[^`]*`", "code", text) for where, text in texts.items()}
    assert {where: found for where, text in plain.items() if (found := re.findall(r".*(?: [:;!?»]|« ).*", text))} == {}
