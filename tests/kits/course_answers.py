"""What the participants of a course answer in the form of the dataset."""

from __future__ import annotations

CONSENT = (
    "I will not try to find out who a speaker is, will not clone a voice, will delete the recordings when my project ends"
    " or when a speaker withdraws, and will tell the maintainers of Harbour Voices if anybody else got hold of them"
)
ANSWERS = {
    "Usecase": "Exercise 3 of the lecture on speech: we train a small recogniser on the recordings of the harbour.",
    CONSENT: "on",
}
