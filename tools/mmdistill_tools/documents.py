"""Tables that are written into blocks of Markdown files.

Two comment lines mark a block; the lines between them are replaced::

    <!-- study: docs/studies/camvid_pspnet.yaml scores -->
    <!-- end of study -->
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path


def markdown_table(
    header: Sequence[str], lines: Sequence[Sequence[str]]
) -> str:
    """A table; the first column is left-aligned, the others right-aligned."""
    rule = ['---', *['--:'] * (len(header) - 1)]
    return '\n'.join(
        f'| {" | ".join(cells)} |' for cells in (header, rule, *lines)
    )


class Blocks:
    """Blocks of one kind, such as ``study``.

    Args:
        kind: Keyword of the first and last line of a block.
        example: File and table name of an example, for messages.
        error: Exception type for user errors.
    """

    def __init__(
        self, kind: str, example: str, error: type[Exception]
    ) -> None:
        self.kind = kind
        self.example = example
        self.error = error
        self.end = f'<!-- end of {kind} -->'
        #: Groups: the first line, ``file`` and ``table``.
        self.pattern = re.compile(
            rf'(<!-- {kind}: (?P<file>\S+) (?P<table>\S+) -->\n).*?{self.end}',
            re.DOTALL,
        )

    def update(self, path: Path, make: Callable[[str, str], str]) -> bool:
        """Write the tables of a document into its blocks.

        Args:
            path: A Markdown file.
            make: Function of a file and a table name, as given in the
                block, that returns the text of the table.

        Returns:
            Whether something changed.

        Raises:
            Exception: ``error``, if the document cannot be read or has no
                block; and what ``make`` raises.
        """
        text = self._read(path)

        def fill(match: re.Match[str]) -> str:
            table = make(match['file'], match['table'])
            return f'{match[1]}\n{table}\n\n{self.end}'

        new = self.pattern.sub(fill, text)
        if new != text:
            path.write_text(new, encoding='utf-8')
        return new != text

    def _read(self, path: Path) -> str:
        try:
            text = path.read_text('utf-8')
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(f'{path} cannot be read: {error}') from error
        blocks = len(self.pattern.findall(text))
        begins, ends = text.count(f'<!-- {self.kind}:'), text.count(self.end)
        if not blocks or not blocks == begins == ends:
            raise self.error(
                f'{path} holds no table, or not rightly: {begins} tables '
                f'begin and {ends} end in it, {blocks} of them as expected: a '
                f'line <!-- {self.kind}: {self.example} --> and a line '
                f'{self.end} below it.'
            )
        return text
