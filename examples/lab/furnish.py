"""The inside of a private engine's room, run as its first process by `lab.keeper`.

It mounts what the engine, the shim and the plugins must have for themselves, says so, and then stays as
the room's init. Usage: `python3 -m lab.furnish FOLDER [ROOT]`.

The engine and the shim use their standard paths: `/run` is the room's own, what is written below `/etc`
and `/var/lib` is thrown away, and the three folders of `STORES` are on FOLDER's disk, so that they cost
what they cost in real life. With ROOT, the engine's own mount tree is made from that Debian tree as well;
`/run` is shared between the two, so that the sandboxes the engine mounts are seen by the shim.
"""

import signal
import subprocess
import sys
from pathlib import Path

STORES = ("docker", "cni", "cnm-cni")
"""The folders below `/var/lib` that Docker, the plugins and the shim keep their state in."""

_HOLD_TREE = """
cd "$1"
pivot_root . .old
mount --make-rprivate /.old
umount --lazy /.old
echo standing
exec sleep infinity
"""


def main() -> None:
    """Furnish the room, print a line when it is ready, and stay."""
    folder, *roots = (Path(argument) for argument in sys.argv[1:])
    _furnish(folder)
    if roots:
        _plant_tree(folder, roots[0])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the orphans that an init inherits
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        signal.pause()


def _furnish(folder: Path) -> None:
    _run("ip", "link", "set", "lo", "up")
    _run("mount", "-t", "tmpfs", "tmpfs", _made(folder / "scratch"))
    # A new sysfs shows this network namespace's links, but hides the cgroups: they are carried over.
    cgroups = _made(folder / "scratch" / "cgroup")
    _run("mount", "--rbind", "/sys/fs/cgroup", cgroups)
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _run("mount", "--rbind", cgroups, "/sys/fs/cgroup")
    _run("umount", "--recursive", "--lazy", cgroups)
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _run("mount", "--make-shared", "/run")
    _run("mkdir", "-p", "/run/docker/plugins")
    _overlay(folder, "etc", lower=Path("/etc"), on=Path("/etc"))
    _overlay(folder, "var-lib", lower=Path("/var/lib"), on=Path("/var/lib"))
    _bind_stores(folder, Path("/"))


def _plant_tree(folder: Path, root: Path) -> None:
    tree = _made(folder / "scratch" / "tree")
    _overlay(folder, "root", lower=root, on=tree)
    _made(tree / ".old")
    _run("mount", "--bind", "/proc", tree / "proc")
    _run("mount", "--rbind", "/sys", tree / "sys")
    _run("mount", "--rbind", "/dev", tree / "dev")
    _run("mount", "--bind", "/run", tree / "run")
    _bind_stores(folder, tree)
    # pivot_root, since containerd refuses a plain chroot and `docker exec` would leave it.
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", _HOLD_TREE, "sh", tree],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    if not holder.stdout or not holder.stdout.readline():
        sys.exit("the engine's mount tree cannot be made")
    # The holder has its own copy; here it would only show every sandbox a second time.
    _run("umount", "--recursive", "--lazy", tree)


def _overlay(folder: Path, name: str, *, lower: Path, on: Path) -> None:
    """Let writes below `on` go to memory."""
    upper, work = (_made(folder / "scratch" / name / part) for part in ("upper", "work"))
    _run("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", on)


def _bind_stores(folder: Path, root: Path) -> None:
    for store in STORES:
        _run("mount", "--bind", _made(folder / store), _made(root / "var/lib" / store))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(*command: str | Path) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")


if __name__ == "__main__":
    main()
