"""The merchant's folder for e-mail: what it says, and what is said of it where it is wrong."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands.mail_samples import app
from effects.mail.contents import write_contents
from effects.mail.samples import samples
from effects.mail.settings import load
from effects.merchant.templates import TemplateFault
from tests.effects.mail.post import shop

ORDER = samples()["order_confirmation"]


def test_everything_has_a_default() -> None:
    sender = load(None).sender("web")
    assert (str(sender.mailbox), sender.reply_to, sender.notices, sender.footer) == ("orders@localhost", None, (), ())


def test_channels_have_what_they_do_not_say_from_the_rest(tmp_path: Path) -> None:
    settings = shop(
        tmp_path,
        """
        from = "Alpenfaden <orders@alpenfaden.example>"
        reply_to = "hallo@alpenfaden.example"
        notices = ["a@müller.ch", "a@müller.ch"]
        footer = ["Alpenfaden AG"]
        default_locale = "fr-CH"
        [channels.market]
        from = "Markt <markt@alpenfaden.example>"
        notices = []
        accent = "#ffcc00"
        """,
    )
    web, market = settings.sender("web"), settings.sender("market")
    assert (str(web.mailbox), web.notices, web.accent) == (
        "Alpenfaden <orders@alpenfaden.example>",
        ("a@xn--mller-kva.ch",),
        "#1f4d45",
    )
    assert (str(market.mailbox), market.notices, market.accent) == (
        "Markt <markt@alpenfaden.example>",
        (),
        "#ffcc00",
    )
    assert str(market.reply_to) == str(web.reply_to) == "hallo@alpenfaden.example"
    assert market.footer == web.footer == ("Alpenfaden AG",)
    assert settings.default_locale == "fr-CH"


def test_own_texts_and_templates(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "de-CH.toml").write_text('closing = "Bhüeti"', encoding="utf-8")
    base = '{% extends "default/base.txt" %}{% block foot %}& Co.{% endblock %}'
    (tmp_path / "base.txt").write_text(base, encoding="utf-8")
    (tmp_path / "order_confirmation.html").write_text(
        '{% extends "default/order_confirmation.html" %}{% block head %}<b>{{ sender }} &amp;</b>{% endblock %}',
        encoding="utf-8",
    )
    settings = shop(tmp_path, 'from = "A & B <a@b.ch>"')
    contents = write_contents(ORDER, settings)
    assert contents.text.endswith("Bhüeti\nA & B\n\n& Co.\n")
    assert "<b>A &amp; B &amp;</b>" in contents.html
    assert "Merinosocken" in contents.html


def test_a_template_that_fails_while_it_is_filled(tmp_path: Path) -> None:
    (tmp_path / "refund.html").write_text("\n{{ letter.__class__ }}", encoding="utf-8")
    with pytest.raises(TemplateFault, match=r"^refund\.html, line 2: access to attribute '__class__'"):
        write_contents(samples()["refund"], load(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("settings.toml", "from = 'x'", "from: this is not an e-mail address that mail can be sent to."),
        ("settings.toml", "from = 'a@b.ch\\nBcc'", "from: this is not an e-mail address that mail can be sent to."),
        ("settings.toml", "notices = ['a@b.ch', 'x']", "notices.1: this is not an e-mail address"),
        ("settings.toml", "accent = 'red'", "accent: String should match pattern"),
        ("settings.toml", "default_locale = 'rm'", "default_locale: the locales are de-CH, de-DE, fr-CH, it-CH, en."),
        ("settings.toml", "[channels.web]\nreply_to = '@'", "channels.web.reply_to: this is not an e-mail address"),
        ("settings.toml", "[channels.web]\ncolour = '#000000'", "channels.web.colour: Extra inputs are not permitted."),
        ("settings.toml", "from = ", "Invalid value"),
        ("texts/en.toml", "closing = 1", "closing is not a text."),
        ("texts/en.toml", "greeting = 'Hi'", "the placeholders of greeting must be {name}."),
        ("texts/rm.toml", "", "the locales are de-CH, de-DE, fr-CH, it-CH, en."),
        ("confirmation.html", "", "the templates are order_confirmation.html, order_confirmation.txt, new_order.html"),
        ("refund.txt", b"\xff", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, file: str, content: str | bytes, complaint: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"^/\S+: ") as raised:
        load(tmp_path)
    assert str(raised.value).startswith(f"{path}: ")
    assert complaint in str(raised.value)


def test_a_template_that_is_none_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "refund.txt").write_text("\n{% if %}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"refund\.txt, line 2: Expected an expression") as raised:
        load(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/refund.txt, line 2: ")


def test_samples(tmp_path: Path) -> None:
    target = tmp_path / "samples"
    assert CliRunner().invoke(app, [str(target), "--locale", "it-CH"]).exit_code == 0
    assert len(list(target.iterdir())) == 2 * len(samples())
    assert (target / "refund.txt").read_text(encoding="utf-8").startswith("Rimborso per il suo ordine W-2026-7781\n")
    refused = CliRunner().invoke(app, [str(target), "--locale", "rm"])
    assert (refused.exit_code, refused.stderr) == (1, "E-mails are written in de-CH, de-DE, fr-CH, it-CH, en.\n")
