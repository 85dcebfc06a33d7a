"""What an image is made of may have been fetched under any umask."""

from __future__ import annotations

from pathlib import Path

from local.kube.offline.archive import open_to_all


def test_what_was_private_can_be_read_and_run_by_every_user_of_an_image(
    tmp_path: Path,
) -> None:
    program, text = tmp_path / "java" / "bin" / "java", tmp_path / "java" / "release"
    program.parent.mkdir(parents=True)
    for path, mode in ((program, 0o700), (text, 0o600)):
        path.touch()
        path.chmod(mode)
    for folder in (program.parent, program.parent.parent):
        folder.chmod(0o700)
    open_to_all(tmp_path)
    modes = [path.stat().st_mode & 0o777 for path in (program.parent, program, text)]
    assert modes == [0o755, 0o755, 0o644]
