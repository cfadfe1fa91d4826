from stylize.errors import StylizeError


def test_message_and_hint_are_one_line_each():
    error = StylizeError("first\n  second", "do\nthis")
    assert str(error) == "first second"
    assert error.hint == "do this"
