"""scripts/delivery-note, by which a merchant sees what comes of the settings."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands.delivery_note import app
from tests.effects.paper import Paper


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("needs_pango")
def test_a_sample(tmp_path: Path, folder: Path) -> None:
    (folder / "settings.toml").write_text('default_locale = "fr-CH"\n[numbers]\nprefix = "BL"\n', encoding="utf-8")
    file = tmp_path / "sample.pdf"
    assert run(str(file), "--folder", str(folder), "--positions", "2") == (0, f"{file}\n", "")
    paper = Paper(file.read_bytes())
    assert "Bulletin de livraison BL-2026-000042" in paper.text()
    assert "Leinentuch" not in paper.text()
    paper.close()


def test_wrong_settings(tmp_path: Path, folder: Path) -> None:
    (folder / "settings.toml").write_text("window = 1", encoding="utf-8")
    code, out, err = run(str(tmp_path / "sample.pdf"), "--folder", str(folder))
    assert (code, out) == (1, "")
    assert err == f"{folder}/settings.toml: window: Input should be 'left' or 'right'.\n"
    code, out, err = run(str(tmp_path / "sample.pdf"), "--locale", "rm")
    assert (code, out) == (1, "")
    assert err == "A delivery note is written in de-CH, de-DE, fr-CH, it-CH, en.\n"
