"""Why a document could not be turned into a file. The document and its number are kept all the same."""

from domain.errors import DomainError, ErrorCode


class RenderingFailed(DomainError):
    """This document cannot be rendered as things are: its template, its texts or its images must be mended."""

    code = ErrorCode.RENDERING_FAILED


class RenderingBusy(DomainError):
    """Too much waits to be rendered. The same request may succeed in a moment."""

    code = ErrorCode.RENDERING_BUSY


class RenderingUnavailable(DomainError):
    """This machine lacks what rendering needs; the message says what to install."""

    code = ErrorCode.RENDERING_UNAVAILABLE
