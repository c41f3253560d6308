"""HTML to PDF by WeasyPrint. The file is both PDF/A-3a, for archives, and PDF/UA-1, for accessibility."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from PIL import Image
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcher, URLFetcherResponse

from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.tags import complete_tags

MOST_PIXELS: Final = 4_000_000  # of an image

_VARIANT: Final = "pdf/a-3a"
_LONGEST_COMPLAINT: Final = 200  # characters: a data: URL may be in it

# WeasyPrint declares a file as either PDF/A or PDF/UA. This adds the other, described as PDF/A requires for schemas
# that it does not define (ISO 19005-3, 6.6.2.3; "Achieving WCAG and PDF/A with PDF/UA", PDF Association).
_UNIVERSAL: Final = b"""\
<rdf:Description rdf:about="" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/"><pdfuaid:part>1</pdfuaid:part>\
</rdf:Description>\
<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"\
 xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">\
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">\
<pdfaSchema:schema>PDF/UA Universal Accessibility Schema</pdfaSchema:schema>\
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>\
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>\
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">\
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>\
<pdfaProperty:category>internal</pdfaProperty:category>\
<pdfaProperty:description>The part of ISO 14289 that the file conforms to</pdfaProperty:description>\
</rdf:li></rdf:Seq></pdfaSchema:property>\
</rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>"""


def write_pdf(html: str, css: str, identifier: str) -> bytes:
    """Return the page as a file. The same page gives the same file.

    Raise RenderingFailed if the page refers to anything outside of itself, or has anything else that WeasyPrint would
    leave out.
    """
    style, fonts = _style(css)
    with _nothing_left_out() as fetcher:
        page = HTML(string=html, url_fetcher=fetcher).render(
            stylesheets=[style], font_config=fonts, pdf_variant=_VARIANT
        )
        page.metadata.generate_rdf_metadata = _as_universal(page.metadata.generate_rdf_metadata)
        content: bytes = page.write_pdf(
            pdf_variant=_VARIANT, pdf_identifier=identifier.encode(), finisher=complete_tags
        )
    return content


@lru_cache(maxsize=16)
def _style(css: str) -> tuple[CSS, FontConfiguration]:
    """Return the style sheet and the fonts that it may contain."""
    fonts = FontConfiguration()
    with _nothing_left_out() as fetcher:
        return CSS(string=css, url_fetcher=fetcher, font_config=fonts), fonts


class _Refused(ValueError):
    """A URL that is not fetched."""


class _Fetcher(URLFetcher):  # type: ignore[misc]
    """Fetches only `data:` URLs. Remembers what it has refused, because WeasyPrint silently leaves that out."""

    refusal: str | None = None

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        try:
            return self._fetch(url, headers)
        except _Refused as refusal:
            self.refusal = self.refusal or str(refusal)
            raise

    def _fetch(self, url: str, headers: dict[str, str] | None) -> URLFetcherResponse:
        scheme, colon, _ = url.partition(":")
        if scheme.lower() != "data":
            kind = f"a {scheme.lower()}: URL" if colon else "a relative URL"
            raise _Refused(f"The page refers to {kind}; it may refer to data: URLs only.")
        response = super().fetch(url, headers)
        content = response.read()
        _check_size(content)
        return URLFetcherResponse(url, content, response.headers, response.status)


def _check_size(content: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(content))  # reads only its header
            pixels = image.width * image.height
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        pixels = MOST_PIXELS + 1
    except Exception:  # not an image that Pillow knows: an SVG, or a font
        return
    if pixels > MOST_PIXELS:
        raise _Refused(f"An image on the page has more than {MOST_PIXELS // 1_000_000} megapixels.")


class _Complaints(logging.Handler):
    """Collects the errors that WeasyPrint logs and ignores."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record.getMessage()[:_LONGEST_COMPLAINT])


@contextmanager
def _nothing_left_out() -> Iterator[_Fetcher]:
    """Raise RenderingFailed at the end if a part of the page was not fetched or could not be used."""
    fetcher, complaints = _Fetcher(), _Complaints()
    logger = logging.getLogger("weasyprint")
    logger.addHandler(complaints)
    try:
        yield fetcher
    finally:
        logger.removeHandler(complaints)
    if fetcher.refusal or complaints.all:
        raise RenderingFailed(fetcher.refusal or f"The page is wrong: {complaints.all[0]}")


def _as_universal(generate: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return a function that writes the file's metadata with PDF/UA added."""

    def rdf(*arguments: Any) -> bytes:
        return generate(*arguments).replace(b"</rdf:RDF>", _UNIVERSAL + b"</rdf:RDF>")

    return rdf
