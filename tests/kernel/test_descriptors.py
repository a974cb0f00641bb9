"""What a file descriptor stood for, of every kind of thing that one can stand for.

The workload notes what the kernel tells it of each by fstat and getsockname.
"""

from __future__ import annotations

import pytest
from kernel.support import CALLS, as_code, numbered, record_whole

from wcap.events import Target

pytestmark = pytest.mark.kernel

FDS = numbered(
    *("FILE", "SHARED_MEMORY", "DELETED", "DELETED_LATER", "RENAMED", "MOVED", "MEMFD"),
    *("DEEP", "DEEPER", "LONG", "DIRECTORY", "NULL", "PTY", "MASTER", "BLOCK", "PIPE", "FIFO"),
    *("TCP4", "TCP4_ACCEPTED", "TCP6", "TCP6_ACCEPTED", "UDP4", "UDP6", "UNIX", "UNIX_ACCEPTED"),
    *("ABSTRACT", "PAIR", "DATAGRAM", "EVENTFD", "TIMERFD", "EPOLL", "NETLINK", "PACKET"),
    *("REUSED", "DUPLICATE", "LINK", "BOUND", "CHROOT", "MOUNTED"),
)

WORKLOAD = (
    CALLS
    + as_code(FDS)
    + """
import stat, tempfile

folder = os.path.realpath(tempfile.mkdtemp())
listening = []

def facts(fd):
    found = os.fstat(fd)
    return [os.major(found.st_dev), os.minor(found.st_dev), found.st_ino]

def touch(name, fd, opened=None, path=None):
    # Put what was opened at a descriptor, note what it is, and write to it.
    if opened is not None:
        at(fd, opened)
    note(name, [path, *facts(fd)])
    libc.write(fd, b"x", 1)

def create(path, flags=0):
    return os.open(path, os.O_RDWR | os.O_CREAT | flags)

def files():
    touch("FILE", FILE, create(f"{folder}/file"), f"{folder}/file")
    if os.path.isdir("/dev/shm"):
        path = f"/dev/shm/wcap-{os.getpid()}"
        touch("SHARED_MEMORY", SHARED_MEMORY, create(path), path)
        os.unlink(path)
    opened = create(f"{folder}/deleted")
    os.unlink(f"{folder}/deleted")
    touch("DELETED", DELETED, opened, f"{folder}/deleted")
    touch("DELETED_LATER", DELETED_LATER, create(f"{folder}/later"), f"{folder}/later")
    os.unlink(f"{folder}/later")
    os.write(DELETED_LATER, b"x")
    touch("RENAMED", RENAMED, create(f"{folder}/before"), f"{folder}/before")
    os.rename(f"{folder}/before", f"{folder}/after")
    os.write(RENAMED, b"x")
    os.mkdir(f"{folder}/other")
    touch("MOVED", MOVED, create(f"{folder}/moved"), f"{folder}/moved")
    os.rename(f"{folder}/moved", f"{folder}/other/moved")
    os.write(MOVED, b"x")
    touch("MEMFD", MEMFD, os.memfd_create("scratch"), "/memfd:scratch")
    touch("DIRECTORY", DIRECTORY, os.open(folder, os.O_RDONLY), folder)

def deep(name, fd, component, depth):
    os.chdir(folder)
    for _ in range(depth):
        os.makedirs(component, exist_ok=True)
        os.chdir(component)
    touch(name, fd, create("file"), folder + ("/" + component) * depth + "/file")
    os.chdir("/")

def devices():
    touch("NULL", NULL, os.open("/dev/null", os.O_WRONLY), "/dev/null")
    master, slave = os.openpty()
    path = os.ttyname(slave)
    touch("PTY", PTY, slave, path)
    touch("MASTER", MASTER, master)
    pipe_at(PIPE); touch("PIPE", PIPE)
    os.mkfifo(f"{folder}/fifo")
    touch("FIFO", FIFO, os.open(f"{folder}/fifo", os.O_RDWR), f"{folder}/fifo")
    for place in os.scandir("/dev"):
        if stat.S_ISBLK(place.stat(follow_symlinks=False).st_mode):
            try:
                opened = os.open(place.path, os.O_RDONLY)
            except OSError:
                continue
            touch("BLOCK", BLOCK, opened, place.path)  # which fails, as it is open for reading
            break

def connection(family, address, name, fd, accepted_fd):
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    client = socket.create_connection(server.getsockname()[:2])
    accepted, _ = server.accept()
    note(name + " ends", [client.getsockname()[1], server.getsockname()[1]])
    listening.append(server)
    touch(name, fd, client.detach())
    touch(name + "_ACCEPTED", accepted_fd, accepted.detach())

def udp(family, host, name, fd):
    one, other = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    one.bind((host, 0))
    other.bind((host, 0))
    listening.append(other)
    note(name + " ends", [one.getsockname()[1], other.getsockname()[1]])
    at(fd, os.dup(one.fileno()))
    touch(name, fd)
    one.connect(other.getsockname())
    os.write(fd, b"connected")

def unix():
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{folder}/socket")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"{folder}/socket")
    accepted, _ = server.accept()
    touch("UNIX", UNIX, client.detach())
    touch("UNIX_ACCEPTED", UNIX_ACCEPTED, accepted.detach())
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\\0" + folder)
    abstract.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect("\\0" + folder)
    touch("ABSTRACT", ABSTRACT, client.detach())
    one, other = socket.socketpair()
    note("PAIR peer", os.fstat(other.fileno()).st_ino)
    touch("PAIR", PAIR, one.detach())
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(f"{folder}/datagrams")
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    at(DATAGRAM, os.dup(sender.fileno()))
    touch("DATAGRAM", DATAGRAM)
    sender.connect(f"{folder}/datagrams")
    os.write(DATAGRAM, b"connected")
    listening.extend((server, abstract, other, receiver))

def anonymous():
    touch("EVENTFD", EVENTFD, libc.eventfd(0, 0))
    touch("TIMERFD", TIMERFD, libc.timerfd_create(1, 0))
    touch("EPOLL", EPOLL, libc.epoll_create1(0))
    touch("NETLINK", NETLINK, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).detach())
    touch("PACKET", PACKET, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).detach())

def reused():
    for n in range(53):
        path = f"{folder}/reused {n % 7}"
        at(REUSED, create(path))
        os.write(REUSED, path.encode())
        os.close(REUSED)
    os.dup2(FILE, DUPLICATE)
    touch("DUPLICATE", DUPLICATE)
    os.link(f"{folder}/file", f"{folder}/link")
    for n in range(53):
        path = f"{folder}/{('file', 'link')[n % 2]}"
        at(LINK, os.open(path, os.O_WRONLY))
        os.write(LINK, path.encode())
        os.close(LINK)

def child(action):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

def mount(source, place, kind, flags):
    assert libc.mount(source.encode(), place.encode(), kind.encode(), flags, None) == 0

def own_mounts():
    libc.unshare(0x20000)  # CLONE_NEWNS
    mount("none", "/", "none", 0x44000)  # MS_REC | MS_PRIVATE
    os.mkdir(f"{folder}/bound")
    mount(folder, f"{folder}/bound", "none", 4096)  # MS_BIND
    for n in range(53):
        path = f"{folder}{('', '/bound')[n % 2]}/file"
        at(BOUND, os.open(path, os.O_WRONLY))
        os.write(BOUND, path.encode())
        os.close(BOUND)
    os.mkdir(f"{folder}/mounted")
    mount("tmpfs", f"{folder}/mounted", "tmpfs", 0)
    path = f"{folder}/mounted/file"
    touch("MOUNTED", MOUNTED, create(path), path)

def own_root():
    os.makedirs(f"{folder}/root/inside")
    os.chroot(f"{folder}/root")
    os.chdir("/")
    touch("CHROOT", CHROOT, create("/inside/file"), f"{folder}/root/inside/file")

note("folder", folder)
files()
deep("DEEP", DEEP, "d", 101)
deep("DEEPER", DEEPER, "d", 211)
deep("LONG", LONG, "d" * 211, 29)
devices()
connection(socket.AF_INET, ("127.0.0.1", 0), "TCP4", TCP4, TCP4_ACCEPTED)
connection(socket.AF_INET6, ("::1", 0), "TCP6", TCP6, TCP6_ACCEPTED)
udp(socket.AF_INET, "127.0.0.1", "UDP4", UDP4)
udp(socket.AF_INET6, "::1", "UDP6", UDP6)
unix()
anonymous()
reused()
child(own_mounts)
child(own_root)
"""
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    output = tmp_path_factory.mktemp("descriptors") / "run.wcap"
    return record_whole(WORKLOAD, output=output)


@pytest.fixture
def targets(recorded):
    def targets_of(name):
        return [event.target for event in recorded.events if event.fd == FDS[name]]

    return targets_of


@pytest.fixture
def noted(recorded):
    """Return what the workload noted of a descriptor, as the target that it must be."""

    def noted_of(name, kind, **more):
        path, major, minor, inode = recorded.notes[name]
        if path is not None or kind in ("file", "tty"):
            more = {"path": path, "device": (major, minor), **more}
        return Target(kind, inode=inode, **more)

    return noted_of


@pytest.fixture
def folder(recorded):
    return recorded.notes["folder"]


def test_a_file_has_its_path_device_and_inode(targets, noted, recorded):
    assert targets("FILE") == [noted("FILE", "file")]
    assert targets("DIRECTORY") == [noted("DIRECTORY", "directory")]
    if "SHARED_MEMORY" in recorded.notes:
        assert targets("SHARED_MEMORY") == [noted("SHARED_MEMORY", "file")]


def test_a_file_without_a_name_any_more_is_told_to_be_deleted(targets, noted):
    assert targets("DELETED") == [noted("DELETED", "file", deleted=True)]
    assert targets("DELETED_LATER") == [
        noted("DELETED_LATER", "file"),
        noted("DELETED_LATER", "file", deleted=True),
    ]
    assert targets("MEMFD") == [noted("MEMFD", "file", deleted=True)]


def test_a_file_that_is_renamed_while_it_is_open_has_its_new_path_from_then_on(
    targets, noted, folder
):
    before, after = targets("RENAMED")
    assert (before, after.path) == (noted("RENAMED", "file"), f"{folder}/after")
    before, after = targets("MOVED")
    assert (before, after.path) == (noted("MOVED", "file"), f"{folder}/other/moved")


def test_a_deep_path_is_whole_and_of_one_too_deep_the_end_is_told(targets, noted):
    assert targets("DEEP") == [noted("DEEP", "file")]
    for name in ("DEEPER", "LONG"):
        [target] = targets(name)
        whole = noted(name, "file")
        assert target.partial
        assert len(target.path) > 380
        assert whole.path.endswith("/" + target.path)
        assert (target.device, target.inode) == (whole.device, whole.inode)


def test_devices_and_terminals_are_told_by_their_paths(targets, noted, recorded):
    assert targets("NULL") == [noted("NULL", "character")]
    assert targets("PTY") == [noted("PTY", "tty")]
    [master] = targets("MASTER")
    assert (master.kind, master.inode) == ("tty", recorded.notes["MASTER"][3])
    assert master.path.endswith("ptmx")


def test_a_block_device_is_told_by_its_path(targets, noted, recorded):
    if "BLOCK" not in recorded.notes:
        pytest.skip("no block device here can be opened")
    assert targets("BLOCK") == [noted("BLOCK", "block")]


def test_a_pipe_has_an_inode_and_a_named_one_a_path(targets, noted):
    assert targets("PIPE") == [noted("PIPE", "pipe")]
    assert targets("FIFO") == [noted("FIFO", "pipe")]


@pytest.mark.parametrize(("name", "host"), [("TCP4", "127.0.0.1"), ("TCP6", "[::1]")])
def test_a_connection_has_both_ends_on_both_sides(name, host, targets, noted, recorded):
    client, server = (f"{host}:{port}" for port in recorded.notes[f"{name} ends"])

    assert targets(name) == [noted(name, "tcp", local=client, peer=server)]
    name += "_ACCEPTED"
    assert targets(name) == [noted(name, "tcp", local=server, peer=client)]


@pytest.mark.parametrize(("name", "host"), [("UDP4", "127.0.0.1"), ("UDP6", "[::1]")])
def test_a_datagram_socket_is_another_target_once_it_is_connected(
    name, host, targets, noted, recorded
):
    one, other = (f"{host}:{port}" for port in recorded.notes[f"{name} ends"])

    assert targets(name) == [
        noted(name, "udp", local=one),
        noted(name, "udp", local=one, peer=other),
    ]


def test_a_unix_socket_has_the_addresses_that_it_has(targets, noted, folder, recorded):
    assert targets("UNIX") == [noted("UNIX", "unix", peer=f"{folder}/socket")]
    [accepted] = targets("UNIX_ACCEPTED")
    assert accepted.local == f"{folder}/socket"
    assert accepted.peer == f"[{recorded.notes['UNIX'][3]}]"
    assert targets("ABSTRACT") == [noted("ABSTRACT", "unix", peer=f"@{folder}")]
    assert targets("PAIR") == [noted("PAIR", "unix", peer=f"[{recorded.notes['PAIR peer']}]")]
    assert targets("DATAGRAM") == [
        noted("DATAGRAM", "unix"),
        noted("DATAGRAM", "unix", peer=f"{folder}/datagrams"),
    ]


def test_what_has_no_place_in_a_tree_has_its_name(targets):
    for name in ("EVENTFD", "TIMERFD"):
        [target] = targets(name)
        assert (target.kind, target.path) == ("anonymous", f"[{name.lower()}]")
    [target] = targets("EPOLL")
    assert (target.kind, target.path) == ("anonymous", "[eventpoll]")


def test_other_sockets_are_told_to_be_sockets(targets, noted):
    assert targets("NETLINK") == [noted("NETLINK", "socket")]
    assert targets("PACKET") == [noted("PACKET", "socket")]


@pytest.mark.parametrize("name", ["REUSED", "LINK", "BOUND"])
def test_a_descriptor_used_again_stands_for_what_was_opened_last(name, recorded):
    events = [event for event in recorded.events if event.fd == FDS[name]]

    assert len(events) == 53
    assert [event.target.path for event in events] == [event.data.decode() for event in events]


def test_a_duplicate_stands_for_the_same(targets):
    assert targets("DUPLICATE") == targets("FILE")


def test_a_path_is_that_of_the_writer_s_mount_namespace(targets, noted):
    assert targets("MOUNTED") == [noted("MOUNTED", "file")]
    assert targets("CHROOT") == [noted("CHROOT", "file")]
