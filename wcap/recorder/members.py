"""What the kernel side has to know of the running kernel's structures, as -D flags.

Each group of facts is all there or not at all, and bpf/write.c does without a group that is not.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

from wcap.recorder import casting, kernel
from wcap.recorder.btf import KernelTypes, Members, kernel_types

_TASK: Members = {
    "task_struct": {
        "group_leader": "TASK_GROUP_LEADER_OFFSET",
        "comm": "TASK_COMM_OFFSET",
        "real_parent": "TASK_REAL_PARENT_OFFSET",
        "tgid": "TASK_TGID_OFFSET",
        "start_boottime": "TASK_START_OFFSET",
    },
}
_FILES: Members = {
    "task_struct": {"files": "TASK_FILES", "mm": "TASK_MM", "cgroups": "TASK_CGROUPS"},
    "mm_struct": {
        "exe_file": "MM_EXE_FILE",
        "arg_start": "MM_ARG_START",
        "arg_end": "MM_ARG_END",
    },
    "files_struct": {"fdt": "FILES_FDT"},
    "fdtable": {"fd": "FDTABLE_FD", "max_fds": "FDTABLE_MAX_FDS"},
    "file": {"f_inode": "FILE_INODE", "f_path": "FILE_PATH", "private_data": "FILE_PRIVATE_DATA"},
    "path": {"mnt": "PATH_MOUNT", "dentry": "PATH_DENTRY"},
    "inode": {
        "i_ino": "INODE_INO",
        "i_mode": "INODE_MODE",
        "i_rdev": "INODE_RDEV",
        "i_sb": "INODE_SB",
    },
    "super_block": {"s_dev": "SUPER_DEV", "s_magic": "SUPER_MAGIC"},
    "dentry": {
        "d_seq": "DENTRY_SEQ",
        "d_parent": "DENTRY_PARENT",
        "d_name": "DENTRY_NAME",
        "d_hash": "DENTRY_HASH",
    },
    "hlist_bl_node": {"pprev": "HLIST_BL_PPREV"},
    "mount": {
        "mnt": "MOUNT_MNT",
        "mnt_parent": "MOUNT_PARENT",
        "mnt_mountpoint": "MOUNT_MOUNTPOINT",
    },
    "vfsmount": {"mnt_root": "MOUNT_ROOT"},
    "socket": {"sk": "SOCKET_SK"},
    "socket_alloc": {"vfs_inode": "SOCKET_INODE"},
    "sock_common": {
        "skc_family": "SOCK_FAMILY",
        "skc_addrpair": "SOCK_ADDRPAIR",
        "skc_portpair": "SOCK_PORTPAIR",
        "skc_daddr": "SOCK_DADDR",
        "skc_rcv_saddr": "SOCK_RCV_SADDR",
        "skc_dport": "SOCK_DPORT",
        "skc_num": "SOCK_NUM",
        "skc_v6_daddr": "SOCK_V6_DADDR",
        "skc_v6_rcv_saddr": "SOCK_V6_RCV_SADDR",
    },
    "sock": {"sk_type": "SOCK_TYPE", "sk_protocol": "SOCK_PROTOCOL", "sk_socket": "SOCK_SOCKET"},
    "unix_sock": {"addr": "UNIX_ADDR", "peer": "UNIX_PEER"},
    "unix_address": {"len": "UNIX_ADDRESS_LEN", "name": "UNIX_ADDRESS_NAME"},
    "css_set": {"dfl_cgrp": "CSS_SET_DFL_CGRP"},
    "cgroup": {"kn": "CGROUP_KN"},
    # 6.15 renamed the parent.
    "kernfs_node": {"parent": "KERNFS_PARENT", "__parent": "KERNFS_PARENT", "name": "KERNFS_NAME"},
}
_PID: Members = {
    "task_struct": {"thread_pid": "TASK_THREAD_PID"},
    "pid": {"level": "PID_LEVEL", "numbers": "PID_NUMBERS"},
    "upid": {"nr": "UPID_NR"},
}
_MEMORY: Members = {"task_struct": {"mm": "TASK_MM"}, "mm_struct": {"task_size": "MM_TASK_SIZE"}}
# What the program tells the verifier that pointers point to.
_TYPES = {
    "file": "FILE_TYPE",
    "inode": "INODE_TYPE",
    "dentry": "DENTRY_TYPE",
    "socket": "SOCKET_TYPE",
    "sock": "SOCK_TYPE_ID",
    "unix_sock": "UNIX_TYPE",
    "hlist_head": "POINTER_TYPE",  # which is a pointer and nothing else
}
# Where a system call's arguments are in struct pt_regs when it has ended: in the registers that it
# was made with, but for the first on arm64, which by then has the result.
_ARGUMENTS: Mapping[str, Members] = {
    "x86_64": {
        "pt_regs": {
            member: f"ARGUMENT_{number}"
            for number, member in enumerate(("di", "si", "dx", "r10", "r8", "r9"))
        }
    },
    "aarch64": {"pt_regs": {"orig_x0": "ARGUMENT_0", "regs": "REGISTERS"}},
}
# Since then BPF programs may follow pointers from the current task.
_TYPED = (5, 11)
# And may look at a task's registers (bpf_task_pt_regs).
_REGISTERS = (5, 15)


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of the kernel's structures.

    Attributes:
        flags: for the compiler.
        tasks: whether parents, leaders and starts of processes are known.
        files: whether it is known what file descriptors stand for.
        arguments: whether a call's arguments can be told when it has ended.
        functions: the numbers of the kernel's functions that the program is to call.
    """

    flags: tuple[str, ...] = ()
    tasks: bool = False
    files: bool = False
    arguments: bool = False
    functions: Mapping[str, int] = field(default_factory=dict)


def layout() -> Layout:
    """Find out from BTF what the running kernel's structures look like."""
    with kernel_types() as types:
        if types is None:
            return Layout()
        task, files = types.offsets(_TASK), _file_flags(types)
        arguments = _argument_flags(types)
        groups = [
            *(task, files, arguments),
            *(_pid_flags(types), types.offsets(_MEMORY)),
            *(_cast_flags(types), _iterator_flags(types)),
        ]
        found = {name: value for group in groups if group for name, value in group.items()}
        flags = [f"-D{name}={value}" for name, value in found.items()]
        if kernel.version() >= _TYPED:
            flags.append("-DTYPED_TASK")
        functions = {
            name: number
            for name, stand_in in casting.STAND_INS.items()
            if stand_in in found.values() and (number := types.function(name))
        }
        return Layout(
            tuple(flags), task is not None, files is not None, arguments is not None, functions
        )


def _file_flags(types: KernelTypes) -> Mapping[str, int] | None:
    found = types.offsets(_FILES)
    if found is None or found["DENTRY_NAME"] != found["DENTRY_PARENT"] + 8:
        return None
    return {
        **found,
        "FILES": 1,
        "DENTRY_HASHED": found["DENTRY_HASH"] + found["HLIST_BL_PPREV"],
    }


def _cast_flags(types: KernelTypes) -> Mapping[str, int] | None:
    numbers = {name: types.number(struct) for struct, name in _TYPES.items()}
    if None in numbers.values() or types.function(casting.CAST) is None:
        return None
    return {
        "CAST": casting.STAND_INS[casting.CAST],
        **{name: n for name, n in numbers.items() if n},
    }


def _iterator_flags(types: KernelTypes) -> Mapping[str, int] | None:
    if any(types.function(name) is None for name in casting.ITERATOR):
        return None
    return {name.upper(): casting.STAND_INS[name] for name in casting.ITERATOR}


def _pid_flags(types: KernelTypes) -> Mapping[str, int] | None:
    found = types.offsets(_PID)
    return found and {**found, "SIZEOF_UPID": types.size("upid")}


def _argument_flags(types: KernelTypes) -> Mapping[str, int] | None:
    found = types.offsets(_ARGUMENTS.get(platform.machine(), {"": {"": ""}}))
    if found is None or kernel.version() < _REGISTERS:
        return None
    if (first := found.get("REGISTERS")) is not None:
        found |= {f"ARGUMENT_{number}": first + 8 * number for number in range(1, 6)}
    return found
