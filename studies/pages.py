"""Pages in Markdown with parts that commands write."""

from collections.abc import Mapping, Sequence

from keras_ae.errors import BadRequest


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def with_parts(text: str, parts: Mapping[str, str], command: str) -> str:
    """Returns `text` with each part replaced, which lies between two comments.

    Args:
        text: Markdown with the comments `name: written by command` and `end of name`.
        parts: New contents by name.
        command: What writes them.

    Raises:
        BadRequest: If a comment is missing.
    """
    for name, content in parts.items():
        begin = f"<!-- {name}: written by {command} -->\n"
        end = f"<!-- end of {name} -->\n"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise BadRequest(f"expected the lines {begin!r} and {end!r} once each, received others")
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = before + begin + content.rstrip("\n") + "\n" + end + after
    return text
