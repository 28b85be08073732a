"""Names of classes: which are one, their order, lists of them, and names that cannot be one."""

from __future__ import annotations

import random
import unicodedata

import pytest

from emorec_tf.config.class_names import check, columns, form, listed, listing, ordered
from emorec_tf.config.clip import EMOTIONS
from emorec_tf.errors import UserError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Happy", "happy "),
        ("\u00dcberrascht", "u\u0308berrascht"),
        ("Very  Happy", "very\u00a0happy"),
        ("STRASSE", "Stra\u00dfe"),
        ("pain\u200b", "pain"),
    ],
)
def test_one_class(one, other):
    assert form(one) == form(other)


@pytest.mark.parametrize(
    ("one", "other"), [("level 1", "level 01"), ("un happy", "unhappy"), ("u", "\u00fc")]
)
def test_two_classes(one, other):
    assert form(one) != form(other)


def test_a_form_is_its_own():
    draw = random.Random(0)
    letters = ["a", "A", " ", "\u00a0", "\u0308", "u", "\u200b", "\u00df", "\u56f0", "\u0130", ","]
    for _ in range(2000):
        name = "".join(draw.choices(letters, k=6))
        assert form(form(name)) == form(name) == form(unicodedata.normalize("NFD", name)), name


def test_emotions_come_first_in_their_order_then_all_others_in_natural_order():
    own = ["\u56f0\u60d1", "pain 10", "Pain 2", "engaged"]
    names = [*own, *reversed(EMOTIONS), "", "pain 10"]
    assert ordered(names) == (*EMOTIONS, "engaged", "Pain 2", "pain 10", "\u56f0\u60d1")
    assert ordered(reversed(names)) == ordered(names)
    assert ordered(reversed(EMOTIONS)) == EMOTIONS
    assert ordered([]) == ()


def test_lists_hold_any_name():
    draw = random.Random(1)
    for _ in range(500):
        names = ["".join(draw.choices('ab, "=[]', k=5)).strip() or "x" for _ in range(4)]
        assert listed(listing(names)) == names
    assert listed('happy, "very, sad" ') == listed('happy,"very, sad"') == ["happy", "very, sad"]
    assert listed("") == [""]
    assert listing(["happy", "very, sad"]) == 'happy,"very, sad"'
    with pytest.raises(UserError, match="quotes that do not fit"):
        listed('"very, sad')


def test_names_that_cannot_be_classes():
    for name in ("\u56f0\u60d1", "[b]very, sad[/b]", "confused/engaged", "a" * 80, "Speaker"):
        check(name, "here")
    for name, message in (
        ("two\nlines", "here: the label 'two\\\\nlines' holds a line break"),
        ("\x1b[31mred", "control character"),
        ("bytes \udcff", "control character"),
        ("a" * 81, "81 characters, more than 80; is it a transcript"),
        ("speaker", "'speaker' cannot be a class.*--label_map speaker=my speaker"),
    ):
        with pytest.raises(UserError, match=message):
            check(name, "here")


def test_classes_among_the_columns_of_a_table():
    row = {"clip_id": "", "speaker": "", "label": "", "seed": "", "pain": "", "sad": "", "calm": ""}
    assert columns(row) == ("calm", "sad", "pain")
