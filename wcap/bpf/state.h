/* What the programs share: the state of a CPU, the maps, and how a record is sent or lost.
 *
 * Programs of a tracepoint run with preemption off, so the state of a CPU belongs to the program
 * that runs on it, and to those that it goes on in by a tail call.
 */
#pragma once
#include "record.h"

/* What a program returns, so that whoever else traces the same tracepoint through perf still gets
 * its samples: after a 0 the kernel drops them (trace_call_bpf in kernel/trace/bpf_trace.c). */
#define PASS 1

#define EAGAIN 11
#define ENOSPC 28
#define PAGE 4096

/* A record carries this much payload: of a longer one, parts come first. */
#define PIECE (SNAPLEN < 4096 ? 4096 : SNAPLEN < 32768 ? SNAPLEN : 32768)
/* What the kernel takes of a vector, and of messages (UIO_MAXIOV), and in one call (MAX_RW_COUNT). */
#define MAX_SEGMENTS 1024
#define MAX_CALL 0x7ffff000

/* Programs that others go on in. */
enum program {
	PROGRAM_ROUTE,
	PROGRAM_GATHER,
	PROGRAM_PROCESS,
	PROGRAM_TARGET,
	PROGRAM_SENT,
	PROGRAMS,
};

/* Where the payload of a call is. */
enum shape {
	SHAPE_NONE,
	SHAPE_BUFFER,
	SHAPE_VECTOR,
	SHAPE_MESSAGE,
	SHAPE_MESSAGES,
};

/* What route() has done already. */
enum tried {
	TRIED_PROCESS = 1,
	TRIED_TARGET = 2,
	TRIED_SOURCE = 4,
	ONLY_PROCESS = 8, /* there is no call: only the process is to be described */
};

/* A call, as its arguments say. */
struct call {
	u64 pid_tgid;
	u64 time_ns;
	u64 pointer; /* to the buffer, the vector or the messages */
	u64 count;   /* bytes, segments or messages */
	s64 offset;
	s64 returned;
	u64 address; /* a pointer, and how many bytes are there */
	u32 address_size;
	u32 fd;
	u32 source_fd;
	u32 target; /* 0: none, or not known */
	u32 source;
	u16 flags;
	u16 tried;
	u8 syscall;
	u8 shape;
};

/* How far the payload of a call has been read. */
struct gather {
	u64 sequence;
	u64 total;    /* bytes asked for, as far as segments have been seen */
	u64 vector;   /* the next segment */
	u64 segments; /* how many are left */
	u64 first_vector, first_segments;
	u64 base; /* what is left of the segment at hand */
	u64 left;
	u64 skip;     /* bytes to pass over */
	u64 earlier;  /* bytes that were captured when the call began */
	u64 messages; /* how many are left, and the next one */
	u64 header;
	u32 message;  /* the number of the one at hand */
	u32 recorded; /* how many of them have been sent */
	u32 before;   /* bytes sent in parts */
	u32 fill;     /* bytes waiting in the payload */
	u16 flags;
	u8 open;    /* an event is at hand */
	u8 paged;   /* a read failed: from here on, go page by page */
	u8 stopped; /* no more payload: cut, unreadable or lost */
	u8 reread;  /* the call has ended */
	s64 returned;
};

/* An open file, as the kernel's own addresses and numbers tell it from all others. */
struct open_file {
	u64 file;
	u64 inode;
	u64 dentry;
	u64 number;  /* of the inode */
	u64 name;    /* the hash and the length of the dentry's */
	u64 peer[3]; /* what may change while it is open: of a socket its addresses */
};

struct known_target {
	u32 id;
	u32 wanted;
};

/* A description under way: where in the tree its path has come to. */
struct walk {
	u64 dentry;
	u64 mount;
	u64 root; /* of that mount */
	u32 at;   /* bytes of the text */
	u32 rounds;
	struct open_file file;
	u32 of_source;
	u32 wanted;
};

/* How many open files a CPU keeps at hand: a power of two. */
#define RECENT 8
struct recent {
	struct open_file file;
	struct known_target target;
};

#define TEXT 16384

struct cpu_state {
	u64 sequence;
	u64 last_tgid; /* whose process record was sent already */
	u64 active;    /* who entered a call here last, if it is wanted: pid_tgid, or 0 */
	u64 passed;    /* a thread that is not recorded: pid_tgid, or 0 */
	u64 targets;   /* how many were numbered here */
	struct call call;
	struct gather gather;
	struct walk walk;
	struct recent recent[RECENT];
	union {
		struct {
			union {
				struct {
					struct enter enter;
					struct extra extra;
				} full;
				struct {
					u8 before[sizeof(struct extra)];
					struct enter enter;
				} plain;
				struct {
					u8 before[sizeof(struct enter) + sizeof(struct extra) -
						  sizeof(struct reread)];
					struct reread reread;
				} end;
				struct {
					u8 before[sizeof(struct enter) + sizeof(struct extra) -
						  sizeof(struct part)];
					struct part part;
				} part;
			};
			u8 payload[2 * PIECE]; /* follows any of them; twice, for the verifier */
		};
		struct {
			union {
				struct target target;
				struct {
					u8 before[sizeof(struct target) - sizeof(struct process)];
					struct process process;
				} of_process;
			};
			u8 text[TEXT]; /* follows either */
		};
	};
};

/* Lost events of one process, one after the other on one CPU. */
struct run {
	u64 first;
	u64 last;
	u64 tgid;
};

/* How many runs a CPU remembers: a power of two. */
#define RUNS 4096

struct losses {
	u64 enters_full, enters_other;
	u64 exits_full, exits_other;
	u64 processes, targets, follows;
	u64 runs; /* how many there were; the latest are in `runs` */
};

/* A call under way whose end is not sent as it comes. */
struct pending {
	u64 pointer; /* to be read again then */
	u64 count;
	u32 captured;
	u8 shape;
	u8 lost; /* its beginning was lost: its end would be taken for that of an earlier call */
	u16 unused;
};

/* Detaching takes the kernel long, so what is recorded is told here (`phase`, one number). */
enum phase {
	PHASE_RECORDING,
	PHASE_ENDING, /* no new calls; what is under way may still end */
	PHASE_ENDED,
};

BPF_ARRAY(phase, u32, 1);
BPF_ARRAY(cpus, struct cpu_state, CPUS);
BPF_ARRAY(losses, struct losses, CPUS);
BPF_ARRAY(runs, struct run, CPUS * RUNS);
BPF_HASH(known, u32, u8, 65536);
BPF_HASH(pendings, u32, struct pending, 8192);
BPF_ARRAY(pendings_count, u64, 1);
BPF_TABLE("lru_hash", struct open_file, struct known_target, known_targets, 16384);
BPF_PROG_ARRAY(programs, PROGRAMS);
#ifdef PATHS
BPF_TABLE("lru_hash", u32, u8, ignored, 65536); /* targets whose path does not match */
#endif
#ifdef TARGETS
BPF_HASH(targets, u32, u8, 65536); /* whether children are followed */
#endif
#ifdef NUMBERED
BPF_HASH(numbered, u32, u8, 65536); /* enum numbered of choose.h */
#endif
#ifdef BY_CALL
BPF_HASH(begun, u32, u8, 65536); /* threads in a call whose beginning was recorded */
#endif
#ifdef CGROUP_COUNT
BPF_CGROUP_ARRAY(cgroups, CGROUP_COUNT);
#endif

#ifdef PERF
BPF_PERF_OUTPUT(events);
#else
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
#endif

/* Returns 0 or a negative error; bcc allows no map call inside a macro. */
static __always_inline int send(void *context, void *record, u64 size)
{
#ifdef PERF
	return events.perf_submit(context, record, size);
#else
	return events.ringbuf_output(record, size, BPF_RB_NO_WAKEUP);
#endif
}

/* BPF_FUNC_probe_read_user of include/uapi/linux/bpf.h. By that name, bcc would read the list of all
 * the kernel's symbols for each call of it, and take twice as long for the whole program. */
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112;

/* Keep clang from reasoning away a bound that the verifier must see. */
#define VISIBLE(value) asm volatile("" : "+r"(value))

static __always_inline bool has_come_to(u32 wanted)
{
	int first = 0;
	u32 *now = phase.lookup(&first);

	return !now || *now >= wanted;
}

/* The state of this CPU. */
static __always_inline struct cpu_state *state_here(void)
{
	int cpu = bpf_get_smp_processor_id();

	return cpus.lookup(&cpu);
}

static __always_inline void fill(struct prefix *prefix, u8 kind, u64 pid_tgid, u64 time_ns)
{
	prefix->kind = kind;
	prefix->syscall = 0;
	prefix->flags = 0;
	prefix->cpu = bpf_get_smp_processor_id();
	prefix->time_ns = time_ns;
	prefix->pid_tgid = pid_tgid;
}

static __always_inline bool is_full(int error)
{
	return error == -EAGAIN || error == -ENOSPC;
}

/* Where this CPU counts what it loses. */
static __always_inline struct losses *losses_here(void)
{
	int cpu = bpf_get_smp_processor_id();

	return losses.lookup(&cpu);
}

static __always_inline void await_end(u64 pid_tgid, struct pending *pending)
{
	int first = 0;
	u32 tid = pid_tgid;
	u64 *count = pendings_count.lookup(&first);

	if (count && !pendings.update(&tid, pending))
		__sync_fetch_and_add(count, 1);
}

/* Remember whose events were lost: as more of the latest run, or as another. */
static __always_inline void note_losers(struct losses *lost, u64 first, u64 last, u64 tgid)
{
	u32 cpu = bpf_get_smp_processor_id();
	u32 latest = cpu * RUNS + ((lost->runs - 1) & (RUNS - 1));
	struct run *run = lost->runs ? runs.lookup((int *)&latest) : NULL;

	if (run && run->tgid == tgid && run->last + 1 == first) {
		run->last = last;
		return;
	}
	u32 next = cpu * RUNS + (lost->runs & (RUNS - 1));
	run = runs.lookup((int *)&next);
	if (!run)
		return;
	run->first = first;
	run->last = last;
	run->tgid = tgid;
	lost->runs++;
}

static __always_inline void lose_enter(int error, u64 pid_tgid, u64 sequence)
{
	struct losses *lost = losses_here();

	if (!lost)
		return;
	if (is_full(error))
		lost->enters_full++;
	else
		lost->enters_other++;
	note_losers(lost, sequence, sequence, pid_tgid >> 32);
}

static __always_inline void count_lost_exit(int error)
{
	struct losses *lost = error ? losses_here() : NULL;

	if (lost && is_full(error))
		lost->exits_full++;
	else if (lost)
		lost->exits_other++;
}
