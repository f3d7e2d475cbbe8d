"""A small container image, from the machine's static busybox."""

import io
import subprocess
import tarfile
from pathlib import Path

_BUSYBOX = Path("/bin/busybox")


def archive() -> bytes:
    """The image's file system as a tar archive: busybox, and a link to it for each of its applets."""
    applets = subprocess.run([_BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(_BUSYBOX, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
    return content.getvalue()
