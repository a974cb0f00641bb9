/* What the kernel side hands to user space; wcap/recorder/records.py reads the same layout, and
 * passes its own sizes as -D so that the two cannot drift apart.
 *
 * Every record starts with the same 24 bytes. All numbers are in the machine's byte order and
 * every record's size is a multiple of 8 but for the payload at its end.
 */
#pragma once

enum kind {
	KIND_ENTER = 1,    /* a write begins; its payload follows */
	KIND_EXIT = 2,     /* a write ends */
	KIND_REREAD = 3,   /* a write ends, and its payload, unreadable before, follows */
	KIND_PROCESS = 4,  /* a process is seen for the first time, or has called exec */
};

enum flag {
	FLAG_UNREADABLE = 1,  /* enter, reread: the payload could not be read */
	FLAG_KNOWN_TASK = 2,  /* process: parent, leader and start were found through BTF */
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
	u32 captured;
	struct name comm;
};

struct exit {
	struct prefix prefix;
	s64 returned;
};

struct reread {
	struct exit exit;
	u64 captured;
};

struct process {
	struct prefix prefix;
	u64 start_ns;
	u32 ppid;
	u32 uid;
	struct name comm;
	struct name leader;
};

_Static_assert(sizeof(struct enter) == ENTER_SIZE, "struct enter is not what records.py reads");
_Static_assert(sizeof(struct exit) == EXIT_SIZE, "struct exit is not what records.py reads");
_Static_assert(sizeof(struct reread) == REREAD_SIZE, "struct reread is not what records.py reads");
_Static_assert(sizeof(struct process) == PROCESS_SIZE,
	       "struct process is not what records.py reads");
