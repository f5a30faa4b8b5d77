"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.bundle import program_files

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [name for name in program_files(REPOSITORY) if name.endswith(".md")]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (REPOSITORY / name).parent
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (REPOSITORY / name).read_text())
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_scripts_that_are_named_exist(name: str) -> None:
    named = re.findall(r"scripts[/\\]([a-z_]+\.(?:sh|py|ps1))", (REPOSITORY / name).read_text())
    assert named
    assert [script for script in named if not (REPOSITORY / "scripts" / script).is_file()] == []


def test_the_readme_starts_with_the_two_commands() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert "bash scripts/run.sh" in text
    assert "bash scripts/test.sh" in text
    assert text.index("bash scripts/run.sh") < 1500
