"""What killed servers have left is removed; what others use is not."""

import signal
import tempfile

from page_server import server

from stylize.page.scratch import PREFIX, scratch


def test_left_folders_are_removed_and_used_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "photo").touch()
    with scratch() as first, scratch() as second:
        assert not left.exists()
        assert first.is_dir()
        assert second.is_dir()
        assert first.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_server_removes_its_folder_and_that_of_a_killed_one(tmp_path, picture):
    with server(tmp_path / "a") as killed:
        killed.client().post("/photos?name=a.png", content=picture)
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        assert len(killed.files()) == 2  # its lock, and the photo
    (tmp_path / "b").mkdir()
    (killed.folder / "tmp").rename(tmp_path / "kept")
    with server(tmp_path / "c") as other:
        pass
    assert other.files() == []
