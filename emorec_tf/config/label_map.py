"""Label map: which labels become others, and which are dropped, declared in one setting.

``calm=neutral,boredom=`` makes calm clips neutral and leaves out clips of boredom.
"""

from __future__ import annotations

from emorec_tf.config.class_names import form, listed
from emorec_tf.errors import UserError

FORM = (
    "write old=new for each label, old= to leave clips out, joined by commas; a pair with a comma "
    'in a label as "a, b=c" in double quotes'
)


def parse(text: str | None) -> dict[str, str]:
    """Read a label map: {label: its new label, or "" where its clips are left out}.

    Raises:
        UserError: no pairs, a label twice, or a new label that is itself mapped, so that the order
            of the pairs would matter.
    """
    if text is None:
        return {}
    found: dict[str, str] = {}
    try:
        pairs = listed(text)
    except UserError as error:
        raise UserError(f"label_map: {error}; {FORM}") from error
    for pair in pairs:
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not old or not equals or "=" in new:
            raise UserError(f"label_map: {pair.strip()!r} is no pair; {FORM}")
        if form(old) in map(form, found):
            raise UserError(f"label_map: {old} is mapped twice; name each label once")
        found[old] = new
    olds = {form(old) for old in found}
    for old, new in found.items():
        if form(new) in olds and form(new) != form(old):
            raise UserError(
                f"label_map: {old} becomes {new}, which is mapped itself; name the last label"
            )
    return found


def rules(text: str | None) -> dict[str, str]:
    """Read a label map as {form of the label (``class_names.form``): its new label}.

    Raises:
        UserError: see ``parse``.
    """
    return {form(old): new for old, new in parse(text).items()}
