"""Other names of the emotions in ``EMOTIONS``, as files and people have them."""

from __future__ import annotations

from emorec_tf.config.class_names import form
from emorec_tf.config.clip import EMOTIONS
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError

ALIASES = {
    "neutral": ("neu", "neutrality"),
    "calm": ("calmness", "cal"),
    "happy": ("happiness", "hap", "joy", "joyful"),
    "sad": ("sadness",),
    "angry": ("anger", "ang"),
    "fearful": ("fear", "fea", "scared", "afraid", "anxiety"),
    "disgust": ("disgusted", "dis"),
    "surprised": ("surprise", "sur"),
    "boredom": ("bored", "bor"),
}
EMOTION_OF = {name: name for name in EMOTIONS} | {
    alias: emotion for emotion, aliases in ALIASES.items() for alias in aliases
}


def is_emotion(name: str) -> bool:
    """Whether the name stands for one of ``EMOTIONS``."""
    return form(name) in EMOTION_OF


def emotion_named(name: str, where: str) -> str:
    """Return the emotion of ``EMOTIONS`` that ``name`` stands for; ``where`` goes in the error.

    For corpora whose labels are known; in others, any label is a class (``own_labels``).
    """
    emotion = EMOTION_OF.get(form(name))
    if emotion is None:
        raise UserError(f"{where}: unknown emotion {name!r}; {nearest(name.lower(), EMOTION_OF)}")
    return emotion
