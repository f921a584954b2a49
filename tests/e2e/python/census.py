"""What instances leave on a machine, counted: processes, mounts, namespaces, cgroups, network cards, packet filters, files.

A VPC's packet filter lives in the VPC's own network namespace and cannot outlive it: counting namespaces counts it. The
host's own filter is counted as well, because nothing may ever be added to it."""

import os
import pathlib
import re
import shutil
import subprocess

PROC, CGROUPS = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")
# What an instance's disk consists of; its record and its console are kept for as long as it is shown as terminated.
DISK = ("disk", "work", "root", "boot.json", "pid")


def census(data_dir, server=None):
    """All that belongs to the instances of one server, running or not; with its process number, also what it holds open."""
    instances = data_dir / "machines/instances"
    ids = [path.name for path in instances.glob("*")]
    ours = processes(ids)
    found = [f"process {number}: {line}" for number, line in ours.items()]
    found += [f"namespace {name}" for name in namespaces(ours)]
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if str(data_dir) in line]
    found += [f"file {path}" for path in (data_dir / "machines/namespaces").glob("*")]
    found += [f"file {instances / one / part}" for one in ids for part in DISK if (instances / one / part).exists()]
    groups = (pathlib.Path(above) / name for above, names, _ in os.walk(CGROUPS) for name in names)
    found += [f"cgroup {path}" for path in groups if path.name in ids]
    found += [f"held open: namespace {name}" for name in held(server)] if server else []
    return sorted(found + cards() + filters())


def processes(ids):
    """Command lines of the processes that bear an instance's mark, or are in its cgroups."""
    found = {}
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            marks = re.findall(rb"(?:^|\0)MILLPOND_INSTANCE=([^\0]*)", (process / "environ").read_bytes())
            groups = re.split("[/\n]", (process / "cgroup").read_text())
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        # One that has ended and waits for the machine's own first process to take notice is none any more.
        is_marked = any(mark.decode() in ids for mark in marks) or any(group in ids for group in groups)
        if is_marked and state != "Z":
            found[int(process.name)] = line
    return found


def namespaces(numbers):
    """Namespaces of these processes that are not this machine's own."""
    own = {kind: link(PROC / "self/ns" / kind) for kind in ("net", "mnt", "pid", "uts", "ipc", "user", "cgroup")}
    theirs = {link(PROC / str(number) / "ns" / kind) for number in numbers for kind in own}
    return sorted(theirs - set(own.values()) - {None})


def held(process):
    """Networks that a process keeps alive by having them open."""
    open_files = {link(path) for path in (PROC / str(process) / "fd").glob("*")}
    return sorted(name for name in open_files - {None, link(PROC / "self/ns/net")} if name.startswith("net:["))


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def cards():
    """Cards in the machine's own network that an instance could have left."""
    if not shutil.which("ip"):
        return []
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return [f"card {line}" for line in links.splitlines() if re.search(r"\bveth|: v[0-9a-f]{8}@", line)]


def filters():
    """The rules in the machine's own network."""
    if os.geteuid() != 0 or not shutil.which("nft"):
        return []
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    return [f"filter {line.strip()}" for line in rules.splitlines() if line.strip()]
