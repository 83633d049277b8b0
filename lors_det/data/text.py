"""Text as the editors and shells of all systems write it."""

from __future__ import annotations

import codecs


def text_of(content: bytes, errors: str = "strict") -> str:
    """UTF-8, with a byte order mark or without, or UTF-16 with one, as PowerShell writes.

    Raises:
        UnicodeDecodeError: if it is neither, unless ``errors``, as :meth:`bytes.decode` takes it, says otherwise.
    """
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors)
