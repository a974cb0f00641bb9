/* What a file descriptor stands for, told apart from everything else that is or was open. */
#pragma once
#include "state.h"
#include "task.h"

/* include/uapi/linux/stat.h, include/linux/socket.h */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

#ifdef FILES

static __always_inline u64 at(const u8 *span, u32 offset)
{
	return *(u64 *)(span + offset);
}

/* A socket's addresses change when it is bound or connected. */
static __always_inline void add_peer(struct open_file *found, u64 socket)
{
	u64 sock = 0, family = 0;

	READ(sock, socket, SOCKET_SK);
	READ(*(u16 *)&family, sock, SOCK_FAMILY);
	found->peer[2] = family;
	if (family == AF_INET) {
		READ(found->peer[0], sock, SOCK_ADDRPAIR);
		READ(*(u32 *)&found->peer[1], sock, SOCK_PORTPAIR);
	} else if (family == AF_INET6) {
		u64 six[2] = {};

		READ(six, sock, SOCK_V6_DADDR);
		found->peer[0] = six[0] ^ six[1] << 1;
		READ(*(u32 *)&found->peer[1], sock, SOCK_PORTPAIR);
		READ(six, sock, SOCK_V6_RCV_SADDR);
		found->peer[0] ^= six[0] << 2 ^ six[1] << 3;
	} else if (family == AF_UNIX) {
		READ(found->peer[0], sock, UNIX_PEER);
		READ(found->peer[1], sock, UNIX_ADDR);
	}
}

/* Find the file that a descriptor of the current process stands for. */
static __always_inline bool find_file(struct open_file *found, u32 fd)
{
	u64 place = CURRENT_TASK(), table, most = 0;
	u8 span[FILE_SPAN], inode[INODE_SPAN];

	LOAD(place, place, TASK_FILES);
	if (!place)
		return false;
	LOAD(place, place, FILES_FDT);
	if (!place)
		return false;
	LOAD32(most, place, FDTABLE_MAX_FDS);
	LOAD(table, place, FDTABLE_FD);
	if (fd >= (u32)most)
		return false;
	READ(found->file, table, 8 * (u64)fd);
	if (!found->file || bpf_probe_read_kernel(span, sizeof(span), (void *)(found->file + FILE_AT)))
		return false;
	found->inode = at(span, FILE_INODE - FILE_AT);
	found->dentry = at(span, FILE_PATH + PATH_DENTRY - FILE_AT);
	if (bpf_probe_read_kernel(inode, sizeof(inode), (void *)found->inode))
		return false;
	found->number = at(inode, INODE_INO);
	if ((*(u16 *)(inode + INODE_MODE) & S_IFMT) == S_IFSOCK)
		add_peer(found, at(span, FILE_PRIVATE_DATA - FILE_AT));
	return true;
}

static __always_inline bool same_file(const struct open_file *one, const struct open_file *other)
{
	return !((one->file ^ other->file) | (one->inode ^ other->inode) |
		 (one->dentry ^ other->dentry) | (one->number ^ other->number) |
		 (one->peer[0] ^ other->peer[0]) | (one->peer[1] ^ other->peer[1]) |
		 (one->peer[2] ^ other->peer[2]));
}

static __always_inline struct recent *recent_of(struct cpu_state *state, const struct open_file *file)
{
	return &state->recent[(file->file >> 8) & (RECENT - 1)];
}

/* Look up the target of a descriptor: where it was described already, say which it is.
 * Otherwise the file is in state->walk, to be described. */
static __always_inline bool locate(struct cpu_state *state, u32 fd, struct known_target *target)
{
	struct open_file file = {};

	target->id = 0;
	target->wanted = UNKNOWN_WANTED;
	if (!find_file(&file, fd))
		return true;
	struct recent *recent = recent_of(state, &file);
	if (same_file(&recent->file, &file)) {
		*target = recent->target;
		return true;
	}
	struct known_target *known = known_targets.lookup(&file);
	if (known) {
		recent->file = file;
		recent->target = *target = *known;
		return true;
	}
	state->walk.file = file;
	state->walk.rounds = 0;
	return false;
}

#else

static __always_inline bool locate(struct cpu_state *state, u32 fd, struct known_target *target)
{
	target->id = 0;
	target->wanted = UNKNOWN_WANTED;
	return true;
}

#endif
