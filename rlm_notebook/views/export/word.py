"""A report as a Word file (Office Open XML), written with the standard library.

It holds what Markdown has: headings, emphasis, links, lists, tables, quotes and code. Its citations lead to bookmarks.
Formulas are their TeX. All text is escaped, and what XML cannot hold is left out; equal reports give equal bytes.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

from .content import (
    Block,
    Break,
    Citation,
    Code,
    CodeBlock,
    Emphasis,
    Formula,
    Heading,
    Inline,
    Items,
    Link,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
    text_of,
)
from .report import Report

__all__ = ["word_of"]

#: What XML 1.0 cannot hold.
_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DEEPEST = 8
_PAGE_TWIPS = 9026
_NAMESPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)


def word_of(report: Report) -> bytes:
    """The whole file."""
    writer = _Writer(report.cited)
    body = [
        writer.paragraph((Text(report.title),), _Style("Title")),
        writer.paragraph((Text(report.facts),), _Style("Subtitle")),
        *(writer.paragraph((Emphasis("em", (Text(note),)),), _Style()) for note in report.notes),
        *writer.blocks(report.blocks),
    ]
    if report.sections:
        body.append(writer.paragraph((Text("Nodes that the answer cites"),), _Style("Heading1")))
    for section in report.sections:
        title = (Text(f"[{section.node}] {section.title}"),)
        body.append(writer.paragraph(title, _Style("Heading2"), bookmark=_bookmark(section.node)))
        body.append(writer.paragraph((Text(section.facts),), _Style("Subtitle")))
        body += writer.blocks(section.blocks)
    files = {
        "[Content_Types].xml": _CONTENT_TYPES,
        "_rels/.rels": _PACKAGE,
        "docProps/core.xml": _CORE.format(title=_xml(report.title)),
        "word/document.xml": _DOCUMENT.format(namespaces=_NAMESPACES, body="".join(body)),
        "word/_rels/document.xml.rels": _RELATIONS.format(links="".join(writer.relations())),
        "word/styles.xml": _styles(),
        "word/numbering.xml": _numbering(writer.starts),
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in files.items():
            # A fixed time: equal reports are equal files.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, text.encode())
    return written.getvalue()


def _xml(text: str) -> str:
    return escape(_ILLEGAL.sub("", text))


def _bookmark(node: str) -> str:
    return f"node_{node.replace('.', '_')}"


@dataclass(frozen=True, slots=True)
class _Style:
    """How a paragraph is laid out: its style, the list that it is an item of, and the depth of what it is within."""

    name: str = ""
    number: int = 0
    level: int = 0
    indent: int = 0
    align: str = ""

    def xml(self, rightwards: bool) -> str:
        parts = [f'<w:pStyle w:val="{self.name}"/>' if self.name else ""]
        if self.number:
            parts.append(f'<w:numPr><w:ilvl w:val="{self.level}"/><w:numId w:val="{self.number}"/></w:numPr>')
        if rightwards:
            parts.append("<w:bidi/>")
        if self.indent and not self.number:
            parts.append(f'<w:ind w:left="{360 * self.indent}"/>')
        if self.align in ("center", "right"):
            parts.append(f'<w:jc w:val="{self.align}"/>')
        return f"<w:pPr>{''.join(parts)}</w:pPr>"


class _Writer:
    """Writes blocks, and remembers the links and lists that they use."""

    def __init__(self, cited: Collection[str]) -> None:
        self._cited = cited
        self._links: dict[str, str] = {}
        self._bookmarks = 0
        #: The first number of each numbered list; the first of all lists, with number 1, is that of bullets.
        self.starts: list[int] = []

    def relations(self) -> Iterator[str]:
        for address, name in self._links.items():
            yield f'<Relationship Id="{name}" Type="{_LINK}" Target={quoteattr(address)} TargetMode="External"/>'

    def blocks(self, blocks: Sequence[Block], style: _Style | None = None) -> list[str]:
        style = style or _Style()
        return [part for block in blocks for part in self._block(block, style)]

    def _block(self, block: Block, style: _Style) -> Iterator[str]:
        match block:
            case Paragraph():
                yield self.paragraph(block.inner, style)
            case Heading():
                yield self.paragraph(block.inner, replace(style, name=f"Heading{block.level}"))
            case CodeBlock():
                lines: list[Inline] = []
                for line in block.text.split("\n"):
                    lines += [Break(), Text(line)] if lines else [Text(line)]
                yield self.paragraph(tuple(lines), _Style("Code", indent=style.indent))
            case Quote():
                yield from self.blocks(block.blocks, _Style("Quote", indent=min(_DEEPEST, style.indent + 1)))
            case Items():
                yield from self._items(block, style)
            case Table():
                yield self._table(block)
            case Rule():
                yield self.paragraph((), _Style("Rule"))

    def _items(self, items: Items, style: _Style) -> Iterator[str]:
        number = 1
        if items.start is not None:
            self.starts.append(items.start)
            number = 1 + len(self.starts)
        level = min(_DEEPEST, style.indent)
        within = _Style(style.name, indent=level + 1)
        for item in items.items:
            numbered = replace(within, number=number, level=level)
            if not item or not isinstance(item[0], Paragraph):
                yield self.paragraph((), numbered)
                yield from self.blocks(item, within)
                continue
            yield self.paragraph(item[0].inner, numbered)
            yield from self.blocks(item[1:], within)

    def _table(self, table: Table) -> str:
        columns = len(table.alignments)
        width = _PAGE_TWIPS // columns
        rows = []
        for at, row in enumerate(table.rows):
            cells = []
            for inner, align in zip(row, table.alignments, strict=False):
                content = (Emphasis("strong", inner),) if at == 0 else inner
                paragraph = self.paragraph(content, _Style("Cell", align=align))
                cells.append(f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/></w:tcPr>{paragraph}</w:tc>')
            head = "<w:trPr><w:tblHeader/></w:trPr>" if at == 0 else ""
            rows.append(f"<w:tr>{head}{''.join(cells)}</w:tr>")
        grid = f'<w:gridCol w:w="{width}"/>' * columns
        # Two tables without a paragraph between them would be one.
        return (
            '<w:tbl><w:tblPr><w:tblStyle w:val="Table"/><w:tblW w:w="5000" w:type="pct"/></w:tblPr>'
            f"<w:tblGrid>{grid}</w:tblGrid>{''.join(rows)}</w:tbl>{self.paragraph((), _Style('Cell'))}"
        )

    # --- paragraphs and what they hold

    def paragraph(self, inner: Sequence[Inline], style: _Style, bookmark: str = "") -> str:
        rightwards = _is_right_to_left(text_of(inner))
        begin = end = ""
        if bookmark:
            self._bookmarks += 1
            begin = f'<w:bookmarkStart w:id="{self._bookmarks}" w:name="{bookmark}"/>'
            end = f'<w:bookmarkEnd w:id="{self._bookmarks}"/>'
        return f"<w:p>{style.xml(rightwards)}{begin}{self._inlines(inner, '')}{end}</w:p>"

    def _inlines(self, inner: Sequence[Inline], properties: str) -> str:
        return "".join(self._inline(each, properties) for each in inner)

    def _inline(self, inline: Inline, properties: str) -> str:
        match inline:
            case Text():
                return _run(inline.text, properties)
            case Code() | Formula():
                # The order of the properties of a run is fixed: a style comes first.
                text = inline.text if isinstance(inline, Code) else inline.tex
                return _run(text, f'<w:rStyle w:val="CodeText"/>{properties}')
            case Citation():
                text = f"[{inline.node}]"
                if inline.node not in self._cited:
                    return _run(text, properties)
                shown = _run(text, f'<w:rStyle w:val="Hyperlink"/>{properties}')
                return f'<w:hyperlink w:anchor="{_bookmark(inline.node)}">{shown}</w:hyperlink>'
            case Break():
                return "<w:r><w:br/></w:r>"
            case Emphasis():
                mark = {"em": "<w:i/>", "strong": "<w:b/>", "s": "<w:strike/>"}[inline.kind]
                marks = {*re.findall(r"<w:\w+/>", properties), mark}
                return self._inlines(inline.inner, "".join(each for each in _MARKS if each in marks))
            case Link():
                if inline.address.startswith("#"):
                    return self._inlines(inline.inner, properties)
                name = self._links.setdefault(_ILLEGAL.sub("", inline.address), f"link{len(self._links) + 1}")
                shown = self._inlines(inline.inner, f'<w:rStyle w:val="Hyperlink"/>{properties}')
                return f'<w:hyperlink r:id="{name}">{shown}</w:hyperlink>'


#: In the order that the format prescribes.
_MARKS = ("<w:b/>", "<w:i/>", "<w:strike/>")


def _run(text: str, properties: str) -> str:
    if properties.count("<w:rStyle") > 1:
        # Code in a link: one style a run.
        first, rest = re.match(r"(<w:rStyle[^>]*/>)(.*)", properties).groups()  # type: ignore[union-attr]
        properties = first + re.sub(r"<w:rStyle[^>]*/>", "", rest)
    if _is_right_to_left(text):
        properties += "<w:rtl/>"
    text = _xml(" ".join(text.split("\n")))
    parts = (f'<w:t xml:space="preserve">{part}</w:t>' for part in text.split("\t"))
    return f"<w:r>{f'<w:rPr>{properties}</w:rPr>' if properties else ''}{'<w:tab/>'.join(parts)}</w:r>"


def _is_right_to_left(text: str) -> bool:
    """Whether the first letter with a direction is Hebrew, Arabic or the like."""
    if text.isascii():
        return False
    directions = (unicodedata.bidirectional(char) for char in text)
    return next((each for each in directions if each in ("L", "R", "AL")), "L") != "L"


# -- the other parts of the file -----------------------------------------------------------------------------------

_LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_CONTENT = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_CONTENT_TYPES = (
    f'{_HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_CONTENT}.document.main+xml"/>'
    f'<Override PartName="/word/styles.xml" ContentType="{_CONTENT}.styles+xml"/>'
    f'<Override PartName="/word/numbering.xml" ContentType="{_CONTENT}.numbering+xml"/>'
    '<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
    "</Types>"
)
_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_PACKAGE = (
    f'{_HEAD}<Relationships xmlns="{_RELATIONSHIPS}">'
    f'<Relationship Id="document" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
    f'<Relationship Id="core" Type="{_RELATIONSHIPS}/metadata/core-properties" Target="docProps/core.xml"/>'
    "</Relationships>"
)
_RELATIONS = (
    f'{_HEAD}<Relationships xmlns="{_RELATIONSHIPS}">'
    f'<Relationship Id="styles" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    f'<Relationship Id="numbering" Type="{_OFFICE}/numbering" Target="numbering.xml"/>{{links}}</Relationships>'
)
_CORE = (
    f'{_HEAD}<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>'
    "<dc:creator>rlm_notebook</dc:creator></cp:coreProperties>"
)
_DOCUMENT = (
    f"{_HEAD}<w:document {{namespaces}}><w:body>{{body}}"
    '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/>'
    '<w:pgMar w:top="1440" w:right="1440" w:bottom="1440" w:left="1440" w:header="708" w:footer="708" w:gutter="0"/>'
    "</w:sectPr></w:body></w:document>"
)


def _styles() -> str:
    def paragraph(name: str, shown: str, layout: str, run: str, *, next_style: str = "") -> str:
        following = f'<w:next w:val="{next_style}"/>' if next_style else ""
        return (
            f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{shown}"/><w:basedOn w:val="Normal"/>'
            f"{following}<w:qFormat/><w:pPr>{layout}</w:pPr><w:rPr>{run}</w:rPr></w:style>"
        )

    fixed = '<w:rFonts w:ascii="Courier New" w:hAnsi="Courier New" w:cs="Courier New"/>'
    lines = "".join(
        f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="999999"/>'
        for side in ("top", "left", "bottom", "right", "insideH", "insideV")
    )
    headings = (
        paragraph(
            f"Heading{level}",
            f"heading {level}",
            f'<w:keepNext/><w:spacing w:before="{400 - 40 * level}" w:after="80"/><w:outlineLvl w:val="{level - 1}"/>',
            f'<w:b/><w:sz w:val="{size}"/>',
            next_style="Normal",
        )
        for level, size in enumerate((32, 28, 26, 24, 22, 22), start=1)
    )
    return (
        f"{_HEAD}<w:styles {_NAMESPACES}>"
        '<w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:cs="Calibri"/>'
        '<w:sz w:val="22"/><w:szCs w:val="22"/></w:rPr></w:rPrDefault>'
        '<w:pPrDefault><w:pPr><w:spacing w:after="120" w:line="264" w:lineRule="auto"/></w:pPr></w:pPrDefault>'
        "</w:docDefaults>"
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/><w:qFormat/></w:style>'
        + paragraph("Title", "Title", '<w:spacing w:after="120"/>', '<w:b/><w:sz w:val="44"/>', next_style="Normal")
        + paragraph("Subtitle", "Subtitle", "", '<w:color w:val="666666"/><w:sz w:val="18"/>', next_style="Normal")
        + "".join(headings)
        + paragraph("Quote", "Quote", '<w:ind w:left="360"/>', '<w:color w:val="444444"/>')
        + paragraph(
            "Code", "Code", '<w:shd w:val="clear" w:color="auto" w:fill="F2F2F2"/>', f'{fixed}<w:sz w:val="18"/>'
        )
        + paragraph("Cell", "Cell", '<w:spacing w:after="20"/>', "")
        + paragraph(
            "Rule",
            "Rule",
            '<w:pBdr><w:bottom w:val="single" w:sz="6" w:space="1" w:color="999999"/></w:pBdr>',
            "",
        )
        + '<w:style w:type="character" w:styleId="CodeText"><w:name w:val="Code Text"/>'
        f"<w:rPr>{fixed}</w:rPr></w:style>"
        '<w:style w:type="character" w:styleId="Hyperlink"><w:name w:val="Hyperlink"/>'
        '<w:rPr><w:color w:val="0563C1"/><w:u w:val="single"/></w:rPr></w:style>'
        '<w:style w:type="table" w:styleId="Table"><w:name w:val="Table Grid"/><w:tblPr>'
        f"<w:tblBorders>{lines}</w:tblBorders>"
        '<w:tblCellMar><w:left w:w="80" w:type="dxa"/><w:right w:w="80" w:type="dxa"/></w:tblCellMar>'
        "</w:tblPr></w:style></w:styles>"
    )


def _numbering(starts: Sequence[int]) -> str:
    """Bullets as list 1, then one list for each numbered one, which begins with its own number."""

    def levels(kind: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<w:lvl w:ilvl="{level}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/>'
            f'<w:lvlJc w:val="left"/><w:pPr><w:ind w:left="{360 * (level + 1)}" w:hanging="360"/></w:pPr></w:lvl>'
            for level, text in enumerate(texts)
        )

    bullets = levels("bullet", [("•", "–", "▪")[level % 3] for level in range(9)])
    numbers = levels("decimal", [f"%{level + 1}." for level in range(9)])
    own = "".join(
        f'<w:num w:numId="{at}"><w:abstractNumId w:val="2"/>'
        + "".join(
            f'<w:lvlOverride w:ilvl="{level}"><w:startOverride w:val="{start}"/></w:lvlOverride>' for level in range(9)
        )
        + "</w:num>"
        for at, start in enumerate(starts, start=2)
    )
    return (
        f"{_HEAD}<w:numbering {_NAMESPACES}>"
        f'<w:abstractNum w:abstractNumId="1"><w:multiLevelType w:val="hybridMultilevel"/>{bullets}</w:abstractNum>'
        f'<w:abstractNum w:abstractNumId="2"><w:multiLevelType w:val="hybridMultilevel"/>{numbers}</w:abstractNum>'
        f'<w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num>{own}</w:numbering>'
    )
