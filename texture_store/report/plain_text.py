"""Text from files, made fit for a page: nothing invisible, not too long. Escaping is the template's."""


def plain(text: str) -> str:
    """Control characters (also those that turn the direction of writing, and line breaks) as `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shortened(text: str, most: int) -> str:
    """At most `most` characters: the middle of a longer text is left out, since names differ at their ends."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[head + 1 - most :]}"
