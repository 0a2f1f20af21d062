"""The mark of a translated file: what is said of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol
from xml.sax.saxutils import escape

from dayshift.runtime.effect import Turnable, effect_of

# A camera's frame altered by a trained model: IPTC's word for it, which C2PA uses too.
# https://cv.iptc.org/newscodes/digitalsourcetype/
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
LABEL = "AI-translated"
# Attributes of ours in the XMP packet; a name, not an address.
NAMESPACE = "urn:dayshift:provenance:1"


class Describable(Turnable, Protocol):
    """What a mark says of a model."""

    @property
    def sha256(self) -> str:
        """Of the graph."""
        ...

    @property
    def backend_name(self) -> str:
        """Such as openvino."""
        ...

    @property
    def precision(self) -> str:
        """What the engine runs in."""
        ...


@dataclass(frozen=True)
class Mark:
    """What a saved file says of its making.

    Attributes:
        model: The model's name.
        model_sha256: Of the graph that ran.
        settings: How it ran, such as strength and precision, as they were when the file was begun.
    """

    model: str
    model_sha256: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def comment(self) -> str:
        """One line for formats whose only tag is a comment; it holds the source type."""
        return f"{LABEL} by {software()} with {self.model}; DigitalSourceType {SOURCE_TYPE}"

    def xmp(self, *, is_signed: bool) -> bytes:
        """Return the XMP packet.

        Args:
            is_signed: A manifest follows. Said here, so that its removal shows.
        """
        settings = "; ".join(f"{key} {value}" for key, value in sorted(self.settings.items()))
        attributes = {
            "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
            "Iptc4xmpExt:AISystemUsed": software(),
            "xmp:CreatorTool": software(),
            "dayshift:Label": LABEL,
            "dayshift:Model": self.model,
            "dayshift:ModelSha256": self.model_sha256,
            "dayshift:Settings": settings,
            "dayshift:Signed": str(is_signed),
        }
        quote = {'"': "&quot;"}
        said = "\n   ".join(f'{key}="{escape(value, quote)}"' for key, value in attributes.items())
        return _XMP.format(namespace=NAMESPACE, attributes=said).encode()


def mark_of(name: str, model: Describable) -> Mark:
    """Return the mark of what `model`, called `name`, makes from now on."""
    effect = effect_of(model)
    settings = {
        "strength": f"{effect.strength:g}",
        "precision": model.precision,
        "backend": model.backend_name,
    }
    if effect.lamps is not None:
        settings["lamps"] = f"{effect.lamps:g}"
    return Mark(name, model.sha256, settings)


def software() -> str:
    """Return the name and version of this program."""
    try:
        return f"dayshift {version('dayshift')}"
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "dayshift"


_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
   xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
   xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   xmlns:dayshift="{namespace}"
   {attributes}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
