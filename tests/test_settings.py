"""Settings: where they come from, and what is said of those that are wrong."""

from pathlib import Path

import pytest

from threadline import settings_given
from threadline.settings import Settings
from threadline.settings_files import SettingsError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(environ: dict[str, str] | None = None, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_given.load(environ or {}, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"THREADLINE_PORT": "abc"}, "THREADLINE_PORT=abc is not a whole number."),
        ({"THREADLINE_PORT": "8787.5"}, "THREADLINE_PORT=8787.5 is not a whole number."),
        ({"THREADLINE_PORT": ""}, "THREADLINE_PORT= is not a whole number."),
        ({"THREADLINE_PORT": "70000"}, "THREADLINE_PORT=70000 is more than 65535."),
        ({"THREADLINE_PORT": "-1"}, "THREADLINE_PORT=-1 is less than 0."),
        ({"THREADLINE_DEDUP_DAYS": "0"}, "THREADLINE_DEDUP_DAYS=0 is less than 1."),
        ({"THREADLINE_SCRUB": "maybe"}, "THREADLINE_SCRUB=maybe is neither true nor false."),
        (
            {"THREADLINE_PROT": "1"},
            "There is no setting THREADLINE_PROT. Did you mean THREADLINE_PORT?",
        ),
        ({"THREADLINE_XYZZY": "1"}, "There is no setting THREADLINE_XYZZY."),
        ({"THREADLINE_CONFIG": "no.toml"}, "THREADLINE_CONFIG=no.toml: there is no such file."),
    ],
)
def test_a_wrong_variable_is_said_in_words(environ: dict[str, str], message: str) -> None:
    assert refused(environ) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "threadline.toml: there is no setting 'prot'; did you mean 'port'?"),
        ("xyzzy = 1", "threadline.toml: there is no setting 'xyzzy'."),
        ("[port]", "threadline.toml: port = {} is not a whole number."),
        ("THREADLINE_PORT = 1", "threadline.toml: write 'port' instead of 'THREADLINE_PORT'."),
        ("Port = 1", "threadline.toml: write 'port' instead of 'Port'."),
        (
            "THREADLINE_PROT = 1",
            "threadline.toml: there is no setting 'THREADLINE_PROT'; did you mean 'port'?",
        ),
        ('port = "abc"', 'threadline.toml: port = "abc" is not a whole number.'),
        ("port = 70000", "threadline.toml: port = 70000 is more than 65535."),
        ('scrub = "no way"', 'threadline.toml: scrub = "no way" is neither true nor false.'),
        ("data = 5", "threadline.toml: data = 5 is not a text."),
        ("data = 2026-01-01", 'threadline.toml: data = "2026-01-01" is not a text.'),
    ],
)
def test_a_wrong_line_of_the_file_is_said_in_words(text: str, message: str) -> None:
    Path("threadline.toml").write_text(text)
    assert refused() == message


def test_a_wrong_option_is_said_in_words() -> None:
    assert refused(port=70000) == "--port 70000 is more than 65535."


def test_a_file_that_is_no_toml_names_itself_and_the_place() -> None:
    Path("threadline.toml").write_text("port 1")
    assert refused().startswith("threadline.toml cannot be read: ")
    assert "line 1" in refused()


def test_one_file_is_read_the_nearest_first() -> None:
    folder = Path("threadline-data")
    folder.mkdir()
    assert settings_given.file_read({}) is None
    assert settings_given.load({}) == Settings()

    (folder / "threadline.toml").write_text("port = 1")
    assert settings_given.load({}).port == 1
    assert settings_given.file_read({}) == folder / "threadline.toml"
    assert settings_given.load({}, data="other").port == Settings().port, (
        "of the folder that is used"
    )
    assert settings_given.load({"THREADLINE_DATA": "threadline-data"}, data=None).port == 1

    Path("threadline.toml").write_text("host = '::1'")
    assert settings_given.load({}) == Settings(host="::1")
    assert settings_given.file_left_out({}) == folder / "threadline.toml"

    Path("named.toml").write_text("port = 3")
    named = {"THREADLINE_CONFIG": "named.toml"}
    assert settings_given.load(named) == Settings(port=3)
    assert settings_given.file_read(named) == Path("named.toml")
    assert settings_given.load({**named, "THREADLINE_PORT": "4"}).port == 4
    assert settings_given.load({**named, "THREADLINE_PORT": "4"}, port=5).port == 5


def test_a_file_in_the_data_folder_cannot_name_another() -> None:
    folder = Path("threadline-data")
    folder.mkdir()
    (folder / "threadline.toml").write_text("data = 'elsewhere'")
    assert "cannot name another" in refused()
    (folder / "threadline.toml").write_text("data = 'threadline-data'")
    assert settings_given.load({}) == Settings()


def test_what_others_read_is_no_setting() -> None:
    assert settings_given.load({"THREADLINE_TEST_X": "1", "THREADLINE_SDK_Y": "1"}) == Settings()
