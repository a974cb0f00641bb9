/* What the kernel side hands to user space; wcap/recorder/records.py reads the same layout, and
 * passes its own sizes as -D so that the two cannot drift apart.
 *
 * Every record starts with the same 24 bytes. All numbers are in the machine's byte order and
 * every record's size is a multiple of 8 but for the bytes at its end.
 */
#pragma once

enum kind {
	KIND_ENTER = 1,   /* a call begins (or, with AT_EXIT, has ended); its payload follows */
	KIND_EXIT = 2,    /* a call ends */
	KIND_REREAD = 3,  /* a call ends; payload that was unreadable before follows */
	KIND_PROCESS = 4, /* a process is seen for the first time, or has called exec */
	KIND_PART = 5,    /* payload of the call of this sequence number, whose record comes later */
	KIND_TARGET = 6,  /* what a file descriptor stands for */
	KIND_SENT = 7,    /* a sendmmsg ends; how much of each message was sent follows */
	KIND_BYPASS = 8,  /* a process writes in a way that no tracepoint here sees */
};

enum flag {
	FLAG_UNREADABLE = 1,  /* enter, reread: the rest of the payload could not be read */
	FLAG_KNOWN_TASK = 2,  /* process: what BTF leads to is there */
	FLAG_PART_LOST = 4,   /* enter, reread: the rest of the payload found no room */
	FLAG_OFFSET = 8,      /* enter: extra has an offset */
	FLAG_SOURCE = 16,     /* enter: extra has a source */
	FLAG_ADDRESS = 32,    /* enter: extra has an address */
	FLAG_NO_PAYLOAD = 64, /* enter: the call has none */
	FLAG_UNSENT = 128,    /* enter at exit: the call ended before this message */
	FLAG_PARTIAL = 256,   /* process, target: the beginning of the path is not there */
	FLAG_DELETED = 1024,  /* target: the file has no name any more */
	FLAG_NO_CGROUP = 2048, /* process: its cgroup is too deep to be told */
};

/* A name as the kernel keeps it (TASK_COMM_LEN is 16), in two words to compare at once. */
struct name {
	u64 words[2];
};

struct prefix {
	u8 kind;
	u8 syscall;
	u16 flags;
	u32 cpu;
	u64 time_ns;
	u64 pid_tgid;
};

struct enter {
	struct prefix prefix;
	u64 sequence;
	u64 count;
	u32 fd;
	u32 captured; /* in this record; parts came before */
	struct name comm;
	u32 target;   /* 0: not known */
	u32 extra;    /* bytes of struct extra between this and the payload: all or none */
#ifdef AT_EXIT
	s64 returned;
#endif
};

struct extra {
	s64 offset;
	u32 source_fd;
	u32 source;
	u32 message; /* of a sendmmsg */
	u32 address_size;
	u8 address[128]; /* sizeof(struct sockaddr_storage) */
};

struct exit {
	struct prefix prefix;
	s64 returned;
};

struct reread {
	struct exit exit;
	u32 captured;
	u32 count; /* bytes of a vector, as far as it can be read now */
};

/* A part of what is read when a call ends has the time of that record instead of a sequence number:
 * if the record is lost, so that its parts are left over, they are not taken for those of another. */
#define PART_AT_END (1ULL << 63)

struct part {
	struct prefix prefix;
	u64 sequence;
	u64 captured;
};

/* Paths stand in the bytes that follow, the last component first, each with a NUL behind it. */
struct process {
	struct prefix prefix;
	u64 start_ns;
	u32 ppid;
	u32 uid;
	u32 gid;
	u32 ns_pid;
	struct name comm;
	struct name leader;
	u32 exe_size;
	u32 cgroup_size;
	u32 cmdline_size;
	u32 unused;
};

/* The order of TARGET_KINDS in wcap/events.py. */
enum target_kind {
	TARGET_FILE,
	TARGET_DIRECTORY,
	TARGET_PIPE,
	TARGET_TTY,
	TARGET_CHARACTER,
	TARGET_BLOCK,
	TARGET_TCP,
	TARGET_UDP,
	TARGET_UNIX,
	TARGET_SOCKET,
	TARGET_ANONYMOUS,
};

struct target {
	struct prefix prefix;
	u32 id;
	u32 device; /* dev_t of the kernel: the minor number has 20 bits */
	u32 rdev;
	u16 mode;
	u16 family;
	u64 inode;
	u32 magic;
	u32 target_kind;
	u16 type;
	u16 protocol;
	u16 local_port; /* in host order, unlike the next */
	u16 peer_port;
	u8 local[16];
	u8 peer[16];
	u64 peer_inode;
	u32 path_size;
	u16 local_size; /* of unix addresses, which follow the path */
	u16 peer_size;
};

enum how {
	HOW_IO_URING = 1,
	HOW_COMPAT = 2,
};

struct bypass {
	struct prefix prefix;
	struct name comm;
	u64 how;
};

#define AGREES(type, size) \
	_Static_assert(sizeof(struct type) == size, "struct " #type " is not what records.py reads")
AGREES(enter, ENTER_SIZE);
AGREES(extra, EXTRA_SIZE);
AGREES(exit, EXIT_SIZE);
AGREES(reread, REREAD_SIZE);
AGREES(part, PART_SIZE);
AGREES(process, PROCESS_SIZE);
AGREES(target, TARGET_SIZE);
AGREES(bypass, BYPASS_SIZE);
