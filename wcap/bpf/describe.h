/* Descriptions: of a process when it first writes or has called exec, and of what a file
 * descriptor stands for when it is first written to. Each is sent ahead of the call.
 */
#pragma once
#include "file.h"

/* include/uapi/linux/magic.h, include/linux/kdev_t.h, drivers/tty and Documentation/admin-guide/devices.txt */
#define PIPEFS_MAGIC 0x50495045
#define ANON_INODE_FS_MAGIC 0x09041934
#define S_IFIFO 0010000
#define S_IFCHR 0020000
#define S_IFDIR 0040000
#define S_IFBLK 0060000
#define S_IFREG 0100000
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define MAJOR(device) ((device) >> 20)
#define is_tty_major(major) ((major) == 4 || (major) == 5 || ((major) >= 136 && (major) <= 143) || \
			     (major) == 188 || (major) == 204 || (major) == 229)

/* Components of a path in one program, and programs for one path. */
#define COMPONENTS 48
#define ROUNDS 4
#define CGROUP_LEVELS 64
/* What a name takes at most, and where the last one may begin so that all else has its room. */
#define NAME 256
#define LONGEST_PATH 4096
#define CMDLINE 4096

#ifdef FILES

/* Append a name and its NUL to the text. */
static __always_inline void add_name(struct cpu_state *state, u64 name, u64 size)
{
	u64 at = state->walk.at;

	size++;
	VISIBLE(size);
	if (size > NAME)
		return;
	VISIBLE(at);
	if (at > LONGEST_PATH)
		return;
	if (!bpf_probe_read_kernel(state->text + at, size, (void *)name))
		state->walk.at = at + size;
}

static __always_inline void start_walk(struct walk *walk, u64 mount, u64 dentry)
{
	walk->at = walk->rounds = 0;
	walk->dentry = dentry;
	walk->mount = mount;
	READ(walk->root, mount, MOUNT_ROOT);
}

struct link {
	u64 parent;
	u64 name[2]; /* struct qstr: the hash and the length, and where the name is */
};

/* Climb one step towards the root; return whether there is more, and flag a path that is cut. */
static __always_inline int climb(struct cpu_state *state, u16 *flags)
{
	struct walk *walk = &state->walk;
	struct link link = {};

	if (walk->dentry == walk->root) {
		u64 mount = walk->mount - MOUNT_MNT, parent = 0;

		READ(parent, mount, MOUNT_PARENT);
		if (parent == mount || !parent)
			return false;
		READ(walk->dentry, mount, MOUNT_MOUNTPOINT);
		walk->mount = parent + MOUNT_MNT;
		READ(walk->root, walk->mount, MOUNT_ROOT);
		return true;
	}
	READ(link, walk->dentry, DENTRY_PARENT);
	if (walk->at >= LONGEST_PATH) {
		*flags |= FLAG_PARTIAL;
		return false;
	}
	add_name(state, link.name[1], (link.name[0] >> 32) & (NAME - 1));
	if (link.parent == walk->dentry || !link.parent)
		return false;
	walk->dentry = link.parent;
	return true;
}

static __always_inline bool climb_all(struct cpu_state *state, u16 *flags)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < COMPONENTS; i++)
		if (!climb(state, flags))
			return true;
	return false;
}

static __always_inline void add_unix_address(struct cpu_state *state, u64 sock, u16 *size)
{
	u64 address = 0, at = state->walk.at, length = 0;

	*size = 0;
	READ(address, sock, UNIX_ADDR);
	if (!address)
		return;
	READ(*(u32 *)&length, address, UNIX_ADDRESS_LEN);
	VISIBLE(length);
	if (length > 110) /* sizeof(struct sockaddr_un) */
		return;
	VISIBLE(at);
	if (at > LONGEST_PATH + NAME)
		return;
	if (bpf_probe_read_kernel(state->text + at, length, (void *)(address + UNIX_ADDRESS_NAME)))
		return;
	*size = length;
	state->walk.at = at + length;
}

static __always_inline void add_socket(struct cpu_state *state, struct target *target, u64 socket)
{
	u64 sock = 0;

	READ(sock, socket, SOCKET_SK);
	READ(target->family, sock, SOCK_FAMILY);
	READ(target->type, sock, SOCK_TYPE);
	READ(target->protocol, sock, SOCK_PROTOCOL);
	if (target->family == AF_INET) {
		READ(*(u32 *)target->local, sock, SOCK_RCV_SADDR);
		READ(*(u32 *)target->peer, sock, SOCK_DADDR);
	} else if (target->family == AF_INET6) {
		READ(target->local, sock, SOCK_V6_RCV_SADDR);
		READ(target->peer, sock, SOCK_V6_DADDR);
	} else if (target->family == AF_UNIX) {
		u64 peer = 0;

		add_unix_address(state, sock, &target->local_size);
		READ(peer, sock, UNIX_PEER);
		if (!peer)
			return;
		add_unix_address(state, peer, &target->peer_size);
		READ(peer, peer, SOCK_SOCKET);
		if (peer)
			READ(target->peer_inode, peer, SOCKET_INODE + INODE_INO);
		return;
	}
	READ(target->local_port, sock, SOCK_NUM);
	READ(target->peer_port, sock, SOCK_DPORT);
}

/* Which of events.TARGET_KINDS a target is. */
static __always_inline enum target_kind kind_of(const struct target *target)
{
	switch (target->mode & S_IFMT) {
	case S_IFSOCK:
		if (target->family == AF_UNIX)
			return TARGET_UNIX;
		if (target->family == AF_INET || target->family == AF_INET6) {
			if (target->protocol == IPPROTO_TCP && target->type == SOCK_STREAM)
				return TARGET_TCP;
			if (target->protocol == IPPROTO_UDP && target->type == SOCK_DGRAM)
				return TARGET_UDP;
		}
		return TARGET_SOCKET;
	case S_IFIFO:
		return TARGET_PIPE;
	case S_IFDIR:
		return TARGET_DIRECTORY;
	case S_IFBLK:
		return TARGET_BLOCK;
	case S_IFCHR:
		return is_tty_major(MAJOR(target->rdev)) ? TARGET_TTY : TARGET_CHARACTER;
	}
	return target->magic == ANON_INODE_FS_MAGIC ? TARGET_ANONYMOUS : TARGET_FILE;
}

/* Number the target of which everything is known, remember it, and send it if it is wanted. */
static __always_inline void settle_target(void *context, struct cpu_state *state)
{
	struct target *target = &state->target;
	struct walk *walk = &state->walk;
	struct known_target known = {};
	u64 size = walk->at;

	target->id = known.id = ++state->targets * CPUS + target->prefix.cpu;
	target->target_kind = kind_of(target);
	known.wanted = KINDS >> target->target_kind & 1;
	VISIBLE(size);
	if (size > TEXT)
		return;
	if (known.wanted && send(context, target, sizeof(*target) + size)) {
		struct losses *lost = losses_here();

		if (lost)
			lost->targets++;
		known.id = 0; /* and tell it when there is room again */
	} else {
		struct recent *recent = recent_of(state, &walk->file);

		known_targets.update(&walk->file, &known);
		recent->file = walk->file;
		recent->target = known;
	}
	if (walk->of_source)
		state->call.source = known.id;
	else
		state->call.target = known.id;
	walk->wanted = known.wanted;
	walk->rounds = 0;
}

static __always_inline void start_target(struct cpu_state *state)
{
	struct walk *walk = &state->walk;
	struct target *target = &state->target;
	u64 file = walk->file.file, path[2] = {}, socket = 0, block = 0, hashed = 0, magic = 0;

	__builtin_memset(target, 0, sizeof(*target));
	fill(&target->prefix, KIND_TARGET, state->call.pid_tgid, state->call.time_ns);
	READ(path, file, FILE_PATH);
	READ(target->mode, walk->file.inode, INODE_MODE);
	READ(target->rdev, walk->file.inode, INODE_RDEV);
	READ(block, walk->file.inode, INODE_SB);
	READ(target->device, block, SUPER_DEV);
	READ(magic, block, SUPER_MAGIC);
	target->magic = magic;
	target->inode = walk->file.number;
	start_walk(walk, path[0], path[1]);
	READ(hashed, path[1], DENTRY_HASHED);
	if (!hashed)
		target->prefix.flags |= FLAG_DELETED;
	if ((target->mode & S_IFMT) == S_IFSOCK) {
		READ(socket, file, FILE_PRIVATE_DATA);
		add_socket(state, target, socket);
	}
}

static __always_inline bool has_path(const struct target *target)
{
	return (target->mode & S_IFMT) != S_IFSOCK && target->magic != PIPEFS_MAGIC;
}

/* Describe a target, on to its end or to the end of what one program may do; say if it is done. */
static __always_inline bool describe_target(void *context, struct cpu_state *state)
{
	struct walk *walk = &state->walk;
	u16 flags = 0;
	bool done = true;

	if (!walk->rounds)
		start_target(state);
	if (has_path(&state->target)) {
		done = climb_all(state, &flags);
		if (!done && ++walk->rounds >= ROUNDS) {
			flags |= FLAG_PARTIAL;
			done = true;
		}
		state->target.path_size = walk->at;
		state->target.prefix.flags |= flags;
	}
	if (done)
		settle_target(context, state);
	return done;
}

static __always_inline u32 add_exe(struct cpu_state *state, u64 task, u16 *flags)
{
	u64 file = 0, path[2] = {};

	LOAD(file, task, TASK_MM);
	if (!file)
		return 0;
	READ(file, file, MM_EXE_FILE);
	if (!file)
		return 0;
	READ(path, file, FILE_PATH);
	start_walk(&state->walk, path[0], path[1]);
	if (!climb_all(state, flags))
		*flags |= FLAG_PARTIAL;
	return state->walk.at;
}

/* The path of the cgroup (of version 2), from below the root. */
static __always_inline u32 add_cgroup(struct cpu_state *state, u64 task, u16 *flags)
{
	u32 before = state->walk.at;
	u64 node = 0;

	READ(node, task, TASK_CGROUPS);
	READ(node, node, CSS_SET_DFL_CGRP);
	READ(node, node, CGROUP_KN);
#pragma clang loop unroll(disable)
	for (int i = 0; i < CGROUP_LEVELS; i++) {
		u64 parent = 0, name = 0, at = state->walk.at;
		long size;

		READ(parent, node, KERNFS_PARENT);
		if (!parent)
			return state->walk.at - before;
		READ(name, node, KERNFS_NAME);
		VISIBLE(at);
		if (at > LONGEST_PATH + NAME)
			break;
		size = bpf_probe_read_kernel_str(state->text + at, NAME, (void *)name);
		if (size > 0)
			state->walk.at = at + size;
		node = parent;
	}
	*flags |= FLAG_NO_CGROUP;
	state->walk.at = before;
	return 0;
}

static __always_inline u32 add_cmdline(struct cpu_state *state, u64 task)
{
	u64 mm = 0, start = 0, end = 0, at = state->walk.at, size;

	LOAD(mm, task, TASK_MM);
	if (!mm)
		return 0;
	READ(start, mm, MM_ARG_START);
	READ(end, mm, MM_ARG_END);
	size = end - start;
	if (size > CMDLINE)
		size = CMDLINE;
	VISIBLE(size);
	if (size > CMDLINE)
		return 0;
	VISIBLE(at);
	if (at > TEXT - CMDLINE || read_user(state->text + at, size, (void *)start))
		return 0;
	state->walk.at = at + size;
	return size;
}

#endif

static __always_inline void add_task_facts(struct process *process)
{
#ifdef TASK_GROUP_LEADER_OFFSET
	u64 leader = group_leader(), parent = 0;

	process->prefix.flags |= FLAG_KNOWN_TASK;
	read_name(&process->leader, leader);
	READ(parent, leader, TASK_REAL_PARENT_OFFSET);
	READ(process->ppid, parent, TASK_TGID_OFFSET);
	READ(process->start_ns, leader, TASK_START_OFFSET);
#ifdef PID_NUMBERS
	u64 pid = 0, level = 0;

	READ(pid, leader, TASK_THREAD_PID);
	READ(*(u32 *)&level, pid, PID_LEVEL);
	READ(process->ns_pid, pid, PID_NUMBERS + level * SIZEOF_UPID + UPID_NR);
#endif
#endif
}

static __always_inline void count_lost_process(void)
{
	struct losses *lost = losses_here();

	if (lost)
		lost->processes++;
}

/* Describe the current process to user space. */
static __always_inline int send_process(void *context, struct cpu_state *state, u64 pid_tgid)
{
	struct process *process = &state->of_process.process;
	u64 size = 0, ids = bpf_get_current_uid_gid();

	__builtin_memset(process, 0, sizeof(*process));
	fill(&process->prefix, KIND_PROCESS, pid_tgid, CLOCK());
	process->uid = ids;
	process->gid = ids >> 32;
	read_own_name(&process->comm);
	add_task_facts(process);
#ifdef FILES
	u64 task = CURRENT_TASK();
	u16 flags = 0;

	state->walk.at = 0;
	process->exe_size = add_exe(state, task, &flags);
	process->cgroup_size = add_cgroup(state, task, &flags);
	process->cmdline_size = add_cmdline(state, task);
	process->prefix.flags |= flags;
	size = state->walk.at;
	VISIBLE(size);
	if (size > TEXT)
		return 0;
#endif
	int error = send(context, process, sizeof(*process) + size);
	if (error)
		count_lost_process();
	return error;
}
