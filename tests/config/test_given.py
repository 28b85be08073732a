"""Settings from Python: equal to YAML in every form; errors name the setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emorec_tf.config.config import Config, build
from emorec_tf.config.given import settings_of
from emorec_tf.errors import UserError


def test_all_forms_of_settings_are_equal(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("epochs: 5\nlearning_rate: 1e-3\njit: on\naugment: off\n")
    wanted = {"epochs": 5, "learning_rate": 1e-3, "jit": "on", "augment": False}
    for given in (tmp_path / "c.yaml", str(tmp_path / "c.yaml"), wanted, build(wanted)):
        assert settings_of(given, {}) == wanted
    assert settings_of(None, wanted) == wanted
    assert settings_of(Config(), {}) == {}


def test_keyword_settings_override_and_take_python_values() -> None:
    more = {"epochs": 2, "records": Path("r"), "test_speakers": ["a", "b"], "classes": None}
    found = settings_of({"epochs": 5, "classes": "7", "voice_copies": 1}, more)
    assert found == {
        "epochs": 2,
        "classes": "7",
        "augmented_copies": 1,
        "records": "r",
        "test_speakers": "a,b",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epocs": 3}, "unknown setting 'epocs'; did you mean 'epochs'?"),
        ({"epochs": "many"}, "epochs is 'many'; it must be a whole number"),
        ({"augment": "maybe"}, "augment is 'maybe'; it must be true or false"),
        ({"cache": "disc"}, "cache is 'disc'; it must be memory, disk or none"),
        ("missing.yaml", "there is no config missing.yaml; known are"),
    ],
)
def test_wrong_settings(given: object, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        settings_of(given, {})  # type: ignore[arg-type]


def test_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("epochs: many\n")
    message = f"config {tmp_path}/c.yaml: epochs is 'many'"
    with pytest.raises(UserError, match=re.escape(message)):
        settings_of(tmp_path / "c.yaml", {})


def test_lists_of_classes_may_hold_commas() -> None:
    found = settings_of(None, {"classes": ["very, sad", "happy"]})
    assert found == {"classes": '"very, sad",happy'}
