"""What killed servers have left is removed; what others use is not."""

import tempfile

from stylize.page.scratch import PREFIX, scratch


def test_left_folders_are_removed_and_used_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "photo").touch()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(foreign)
    with scratch() as first, scratch() as second:
        assert not left.exists()
        assert first.is_dir()
        assert second.is_dir()
        assert first.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", f"{PREFIX}link"]
    assert list(foreign.iterdir()) == []
