"""The answer as OpenAPI describes it: the object of ``predict --json``."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
PARTS: Schema = {"type": "string", "enum": ["audio", "face"]}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
ANSWERED: Schema = {
    "emotion": {
        "type": ["string", "null"],
        "description": "a class; 'unsure' where the server abstains; null where nothing is there "
        "that the model looks at: missing and reason then say what and why",
    },
    "probabilities": {
        "type": "object",
        "additionalProperties": SHARE,
        "description": "of each class; empty where emotion is null",
    },
    "value": {
        "type": ["number", "null"],
        "description": "the estimated rating, in place of emotion and probabilities; null as there",
    },
    "missing": {
        "type": "array",
        "items": PARTS,
        "description": "only where there is no answer: the parts that the model looks at",
    },
    "reason": {
        "type": "string",
        "description": "only where there is no answer: why, such as 'no face was found'",
    },
    "familiarity": {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 1,
        "description": "share of familiar clips that are less like the training clips; of models "
        "that can tell",
    },
    "audio_present": {"type": "boolean"},
    "speech": {
        "type": ["boolean", "null"],
        "description": "whether the audio holds speech; null where it was not checked",
    },
    "face_present": {"type": "boolean"},
    "face_coverage": {**SHARE, "description": "share of the frames that show the face"},
}
BASIS = ["audio_present", "face_present", "face_coverage"]
SECONDS: Schema = {"type": "number", "minimum": 0}
WINDOW: Schema = {
    "type": "object",
    "required": ["person", "start_seconds", "end_seconds", *BASIS],
    "properties": {
        "person": {"type": ["integer", "null"], "description": "null: audio without a face"},
        "start_seconds": SECONDS,
        "end_seconds": SECONDS,
        **ANSWERED,
    },
    "additionalProperties": False,
}
PERSON: Schema = {
    "type": "object",
    "required": ["person", "first_seconds", "last_seconds", "box"],
    "properties": {
        "person": {"type": "integer"},
        "first_seconds": SECONDS,
        "last_seconds": SECONDS,
        "box": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 4,
            "maxItems": 4,
            "description": "left, top, width and height of the face in pixels of the first frame",
        },
    },
    "additionalProperties": False,
}
ANSWER: Schema = {
    "type": "object",
    "required": ["clip", "seconds", *BASIS],
    "properties": {
        "clip": {"type": "string", "description": "name of the file"},
        "target": {"type": "string", "description": "what is answered, where it is no emotion"},
        **ANSWERED,
        "seconds": {**SECONDS, "description": "length of the part that was used"},
        "film_seconds": {**SECONDS, "description": "length of the whole file"},
        "notes": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what else there is to know, such as that others are in view",
        },
        "voice_shared": {
            "type": "boolean",
            "description": "several people in view share the audio: it is not known whose it is",
        },
        "people": {"type": "array", "items": PERSON},
        "windows": {
            "type": "array",
            "items": WINDOW,
            "description": "a row for each person in each window, of longer videos and people=all",
        },
    },
    "additionalProperties": False,
}
ANSWER_CONTENT: Schema = {"application/json": {"schema": ANSWER}}
