"""The XMP packet that marks an image as made by AI: writing one, and reading what others wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from xml.parsers import expat

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's name for media that a generative AI made."""

SOURCE_TYPE = "Iptc4xmpExt:DigitalSourceType"
CREATOR_TOOL = "xmp:CreatorTool"
JOB_ID = "apiframe:JobId"
IMAGE = "apiframe:Image"
PIXELS_SHA256 = "apiframe:PixelsSHA256"
REMOTE_CREDENTIALS = "dcterms:provenance"
"""Where content credentials lie that are not in the file (C2PA)."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dcterms": "http://purl.org/dc/terms/",
    "apiframe": "urn:airflow-provider-apiframe:1.0:",
}
# By namespace and local name, for others may use other prefixes.
_PROPERTIES = {
    f"{_NAMESPACES[name.partition(':')[0]]} {name.partition(':')[2]}": name
    for name in (SOURCE_TYPE, CREATOR_TOOL, JOB_ID, IMAGE, PIXELS_SHA256, REMOTE_CREDENTIALS)
}

# The begin attribute is a byte order mark: it tells the encoding to programs that look for packets.
_HEADER = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_MAX_TEXT = 200


@dataclass
class XmpPacket:
    """What matters to us of a packet.

    :ivar properties: name -> text of the properties above that it has.
    :ivar about: what it describes; all its descriptions name the same.
    :ivar rdf_end: where another description could be put in, in bytes; None if nowhere.
    """

    properties: dict[str, str] = field(default_factory=dict)
    about: str = ""
    rdf_end: int | None = None


def new_packet(properties: dict[str, str]) -> bytes:
    """Return a packet with these properties, always the same for the same ones."""
    return (
        f'{_HEADER}\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'{_description(properties)} </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def extended_packet(packet: bytes, found: XmpPacket, properties: dict[str, str]) -> bytes | None:
    """Return *packet* with the properties it has not yet, every byte of it kept.

    :param found: what ``read_packet`` returned for it.
    :returns: None where it has no place for them.
    """
    if found.rdf_end is None:
        return None
    missing = {name: text for name, text in properties.items() if name not in found.properties}
    description = _description(missing, found.about).encode()
    return packet[: found.rdf_end] + description + packet[found.rdf_end :]


def read_packet(packet: bytes) -> XmpPacket | None:
    """Return what matters to us of a packet.

    :returns: None where it is not well-formed XML or declares a document type: only with one can
        entities grow, and XMP has none.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(packet, True)
    except (expat.ExpatError, _DocumentTypeError):
        return None
    found = reader.found
    # An RDF element that is empty or there twice has no end that one could write before, and in
    # UTF-16 one would have to write UTF-16.
    if reader.rdf_elements != 1 or packet[found.rdf_end or 0 :][:2] != b"</":
        found.rdf_end = None
    return found


class _DocumentTypeError(Exception):
    pass


class _Reader:
    """Collects an :class:`XmpPacket`. Properties may be elements or attributes."""

    def __init__(self) -> None:
        self.found = XmpPacket()
        self.rdf_elements = 0
        self._text_of: str | None = None
        self.parser = expat.ParserCreate("utf-8", " ")
        # Otherwise each line of a text comes by itself, and a million take half a minute.
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise _DocumentTypeError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.rdf_elements += name == f"{_RDF} RDF"
        if name == f"{_RDF} Description":
            self.found.about = self.found.about or attributes.get(f"{_RDF} about", "")
        for attribute, text in attributes.items():
            if attribute in _PROPERTIES:
                self.found.properties[_PROPERTIES[attribute]] = text
        self._text_of = _PROPERTIES.get(name)
        if self._text_of:
            self.found.properties[self._text_of] = ""

    def _end(self, name: str) -> None:
        self._text_of = None
        if name == f"{_RDF} RDF":
            self.found.rdf_end = self.parser.CurrentByteIndex

    def _text(self, text: str) -> None:
        if self._text_of:
            self.found.properties[self._text_of] += text


def _description(properties: dict[str, str], about: str = "") -> str:
    prefixes = {name.partition(":")[0] for name in properties}
    namespaces = {"rdf": _RDF} | {
        prefix: uri for prefix, uri in _NAMESPACES.items() if prefix in prefixes
    }
    declared = "".join(f'\n    xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    elements = "".join(
        f"   <{name}>{escape(printable(text))}</{name}>\n" for name, text in properties.items()
    )
    return (
        f'  <rdf:Description rdf:about="{escape(about)}"{declared}>\n'
        f"{elements}  </rdf:Description>\n"
    )


def printable(text: str) -> str:
    """Return *text* without what XML cannot hold, and not endless: it comes from the API."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text[:_MAX_TEXT])
