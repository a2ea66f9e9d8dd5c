"""What a reader found beside the text: title, pages, and what it could not read."""

from pydantic import BaseModel


class Reading(BaseModel):
    """Facts about a document that its reader knows and its text does not tell."""

    title: str | None = None
    """From the document's metadata, as it stands there; `None` where there is none."""
    heading: str | None = None
    """What the document shows as its title: the first heading, or the largest line of the first page."""
    pages: int | None = None
    notes: list[str] = []
    """What could not be read or was left out, a sentence each."""
    partial: bool = False
    """Whether a limit was reached: the text is the beginning of the document."""
