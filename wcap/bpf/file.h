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

/* A socket's addresses change when it is bound or connected. */
static __always_inline void add_peer(struct open_file *found, u64 socket)
{
	u64 sock, family = 0, port = 0, word;

	LOOK(sock, TYPED(socket, SOCKET_TYPE), SOCKET_SK);
	sock = TYPED(sock, SOCK_TYPE_ID);
	LOOK16(family, sock, SOCK_FAMILY);
	found->peer[2] = family;
	if (family == AF_INET) {
		LOOK(found->peer[0], sock, SOCK_ADDRPAIR);
		LOOK32(port, sock, SOCK_PORTPAIR);
	} else if (family == AF_INET6) {
		LOOK32(port, sock, SOCK_PORTPAIR);
		LOOK(found->peer[0], sock, SOCK_V6_DADDR);
		LOOK(word, sock, SOCK_V6_DADDR + 8);
		found->peer[0] ^= word << 1;
		LOOK(word, sock, SOCK_V6_RCV_SADDR);
		found->peer[0] ^= word << 2;
		LOOK(word, sock, SOCK_V6_RCV_SADDR + 8);
		found->peer[0] ^= word << 3;
	} else if (family == AF_UNIX) {
		sock = TYPED(sock, UNIX_TYPE);
		LOOK(found->peer[0], sock, UNIX_PEER);
		LOOK(port, sock, UNIX_ADDR);
	}
	found->peer[1] = port;
}

/* Find the file that a descriptor of the current process stands for. */
static __always_inline bool find_file(struct open_file *found, u32 fd)
{
	u64 place = CURRENT_TASK(), file, dentry, most = 0, mode = 0, moves = 0;

	LOAD(place, place, TASK_FILES);
	if (!place)
		return false;
	LOAD(place, place, FILES_FDT);
	if (!place)
		return false;
	LOAD32(most, place, FDTABLE_MAX_FDS);
	if (fd >= (u32)most)
		return false;
	LOAD(place, place, FDTABLE_FD);
	place += 8 * (u64)fd;
	LOOK(found->file, TYPED(place, POINTER_TYPE), 0);
	if (!found->file)
		return false;
	file = TYPED(found->file, FILE_TYPE);
	LOOK(found->inode, file, FILE_INODE);
	LOOK(found->dentry, file, FILE_PATH + PATH_DENTRY);
	if (!found->inode || !found->dentry)
		return false;
	u64 inode = TYPED(found->inode, INODE_TYPE);
	LOOK(found->number, inode, INODE_INO);
	dentry = TYPED(found->dentry, DENTRY_TYPE);
	LOOK(found->name, dentry, DENTRY_NAME);
	LOOK16(mode, inode, INODE_MODE);
	if ((mode & S_IFMT) == S_IFSOCK) {
		u64 socket;

		LOOK(socket, file, FILE_PRIVATE_DATA);
		add_peer(found, socket);
		return true;
	}
	/* The same file by another mount has another path; a file that is renamed, moved or deleted
	 * while it is open has another dentry number. */
	LOOK(found->peer[0], file, FILE_PATH + PATH_MOUNT);
	LOOK32(moves, dentry, DENTRY_SEQ);
	found->peer[1] = moves;
	return true;
}

static __always_inline bool same_file(const struct open_file *one, const struct open_file *other)
{
	return !((one->file ^ other->file) | (one->inode ^ other->inode) |
		 (one->dentry ^ other->dentry) | (one->number ^ other->number) |
		 (one->name ^ other->name) |
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
	struct open_file *file = &state->walk.file;

	target->id = 0;
	target->wanted = UNKNOWN_WANTED;
	file->peer[0] = file->peer[1] = file->peer[2] = 0;
	if (!find_file(file, fd))
		return true;
	/* To the verifier, what is read back is no pointer any more, and may be calculated with. */
	asm volatile("" ::: "memory");
	struct recent *recent = recent_of(state, file);
	if (same_file(&recent->file, file)) {
		*target = recent->target;
		return true;
	}
	struct known_target *known = known_targets.lookup(file);
	if (known) {
		recent->file = *file;
		recent->target = *target = *known;
		return true;
	}
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
