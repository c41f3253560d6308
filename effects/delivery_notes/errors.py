"""Errors of rendering. The note and its number are kept nevertheless."""

from domain.errors import DomainError, ErrorCode


class RenderingFailed(DomainError):
    """This note cannot be rendered: its template, its texts or its images must be corrected."""

    code = ErrorCode.RENDERING_FAILED


class RenderingBusy(DomainError):
    """Too many notes wait to be rendered. The same request may succeed in a moment."""

    code = ErrorCode.RENDERING_BUSY


class RenderingUnavailable(DomainError):
    """This machine lacks a library that rendering needs. The message says what to install."""

    code = ErrorCode.RENDERING_UNAVAILABLE
