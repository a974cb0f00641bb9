/* Records write(2) calls of chosen tasks: payload at entry, result at exit.
 *
 * Programs of a tracepoint run with preemption off, so the state of a CPU belongs to the program
 * that runs on it. wcap/recorder/probe.py sets by -D:
 *   CPUS, SNAPLEN, RING_PAGES   sizes
 *   CLOCK                       the helper that reads the capture's clock
 *   PERF                        send through a perf buffer instead of a ring buffer
 *   FOLLOW                      children of processes that are followed join `targets`
 *   TASK_*, and *_OFFSET        where BTF says that task_struct has its members
 *   ...                         whom to record: choose.h
 */
#include "record.h"

/* What a program returns, so that whoever else traces the same tracepoint through perf still gets
 * its samples: after a 0 the kernel drops them (trace_call_bpf in kernel/trace/bpf_trace.c). */
#define PASS 1

#define EAGAIN 11
#define ENOSPC 28
#define CLONE_THREAD 0x00010000 /* include/uapi/linux/sched.h */

/* Payloads of up to this many bytes are read into the stack, of which a program has 512 bytes: a
 * hardened kernel checks where it copies user memory to, and is soonest done with the stack. */
#define SMALL 128

struct cpu_state {
	u64 sequence;
	u64 last_tgid; /* whose process record was sent already */
	u64 active;    /* who entered a write here last, if it is recorded: pid_tgid, or 0 */
	union {
		struct enter enter;
		struct {
			u8 before[sizeof(struct enter) - sizeof(struct reread)];
			struct reread reread;
		};
	};
	u8 payload[SNAPLEN]; /* follows either record */
};

_Static_assert(sizeof(struct cpu_state) == STATE_SIZE, "struct cpu_state is not what probe.py reads");

struct losses {
	u64 enters_full, enters_other;
	u64 exits_full, exits_other;
	u64 processes, follows;
};

/* A write under way whose end is not sent as it comes. */
struct pending {
	u64 buffer; /* to be read again then */
	u32 captured;
	u32 lost; /* its beginning was lost: its end would be taken for that of an earlier write */
};

BPF_ARRAY(cpus, struct cpu_state, CPUS);
BPF_ARRAY(losses, struct losses, CPUS);
BPF_HASH(known, u32, u8, 65536);
BPF_HASH(pendings, u32, struct pending, 8192);
BPF_ARRAY(pendings_count, u64, 1);
#ifdef TARGETS
BPF_HASH(targets, u32, u8, 65536); /* whether children are followed */
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

/* Keep clang from reasoning away a bound that the verifier must see. */
#define VISIBLE(value) asm volatile("" : "+r"(value))

#ifdef TARGETS
static __always_inline u8 *find_target(u32 tgid)
{
	return targets.lookup(&tgid);
}
#endif

#include "choose.h"

static __always_inline void fill(struct prefix *prefix, u8 kind, u64 pid_tgid)
{
	prefix->kind = kind;
	prefix->syscall = 0;
	prefix->flags = 0;
	prefix->cpu = bpf_get_smp_processor_id();
	prefix->time_ns = CLOCK();
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

static __always_inline void add_task_facts(struct process *process)
{
#ifdef TASK_GROUP_LEADER_OFFSET
	u64 leader = group_leader(), parent = 0;

	process->prefix.flags |= FLAG_KNOWN_TASK;
	read_name(&process->leader, leader);
	bpf_probe_read_kernel(&parent, sizeof(parent), (void *)(leader + TASK_REAL_PARENT_OFFSET));
	bpf_probe_read_kernel(&process->ppid, sizeof(process->ppid),
			      (void *)(parent + TASK_TGID_OFFSET));
	bpf_probe_read_kernel(&process->start_ns, sizeof(process->start_ns),
			      (void *)(leader + TASK_START_OFFSET));
#endif
}

/* Describe the current process to user space. */
static __always_inline int send_process(void *context, u64 pid_tgid)
{
	struct process process = {};

	fill(&process.prefix, KIND_PROCESS, pid_tgid);
	process.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(&process.comm, sizeof(process.comm));
	add_task_facts(&process);
	int error = send(context, &process, sizeof(process));
	if (error) {
		struct losses *lost = losses_here();

		if (lost)
			lost->processes++;
	}
	return error;
}

static __always_inline void await_end(u64 pid_tgid, struct pending *pending)
{
	int first = 0;
	u32 tid = pid_tgid;
	u64 *count = pendings_count.lookup(&first);

	if (count && !pendings.update(&tid, pending))
		__sync_fetch_and_add(count, 1);
}

static __always_inline void lose_enter(int error, u64 pid_tgid, struct pending *pending)
{
	struct losses *lost = losses_here();

	if (lost && is_full(error))
		lost->enters_full++;
	else if (lost)
		lost->enters_other++;
	pending->lost = 1;
	await_end(pid_tgid, pending);
}

static __always_inline void count_lost_exit(int error)
{
	struct losses *lost = error ? losses_here() : NULL;

	if (lost && is_full(error))
		lost->exits_full++;
	else if (lost)
		lost->exits_other++;
}

/* Whether the current task, which begins a write, is recorded. A thread that writes again is not
 * looked for again where the answer is steady. */
static __always_inline bool wanted_here(const struct cpu_state *state, u64 pid_tgid)
{
#ifdef STEADY
	if (state->active == pid_tgid)
		return true;
#endif
	return wanted(pid_tgid);
}

/* Describe the current process to user space, unless that was done. */
static __always_inline void introduce(void *context, struct cpu_state *state, u64 pid_tgid)
{
	u32 tgid = pid_tgid >> 32;
	u8 yes = 1;

	if (state->last_tgid == tgid)
		return;
	if (!known.lookup(&tgid) &&
	    (send_process(context, pid_tgid) || known.update(&tgid, &yes)))
		return;
	state->last_tgid = tgid;
}

static __always_inline void describe(struct enter *enter, u64 pid_tgid, u64 sequence, u32 fd,
				     u64 count)
{
	fill(&enter->prefix, KIND_ENTER, pid_tgid);
	enter->sequence = sequence;
	enter->count = count;
	enter->fd = fd;
	bpf_get_current_comm(&enter->comm, sizeof(enter->comm));
}

int on_write_enter(struct tracepoint__syscalls__sys_enter_write *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	int cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = cpus.lookup(&cpu);
	if (!state)
		return PASS;
	if (!fd_wanted(args->fd) || !wanted_here(state, pid_tgid)) {
		state->active = 0;
		return PASS;
	}

	introduce(args, state, pid_tgid);
	/* on_process_free finds by last_tgid whom to forget. */
	state->active = state->last_tgid == pid_tgid >> 32 ? pid_tgid : 0;

	struct pending pending = {};
	u64 size = args->count, sequence = ++state->sequence;

	if (SMALL <= SNAPLEN && size <= SMALL) {
		struct {
			struct enter enter;
			u8 payload[SMALL];
		} small = {};

		describe(&small.enter, pid_tgid, sequence, args->fd, size);
		small.enter.captured = size;
		VISIBLE(size);
		if (size > SMALL)
			return PASS;
		if (!bpf_probe_read_user(small.payload, size, (void *)args->buf)) {
			VISIBLE(size);
			if (size > SMALL)
				return PASS;
			int error = send(args, &small, sizeof(small.enter) + size);
			if (error)
				lose_enter(error, pid_tgid, &pending);
			return PASS;
		}
	}

	struct enter *enter = &state->enter;

	describe(enter, pid_tgid, sequence, args->fd, size);
	VISIBLE(size);
	if (size > SNAPLEN)
		size = SNAPLEN;
	VISIBLE(size);
	if (size > SNAPLEN)
		return PASS;
	if (bpf_probe_read_user(state->payload, size, (void *)args->buf)) {
		enter->prefix.flags |= FLAG_UNREADABLE;
		pending.buffer = (u64)args->buf;
		pending.captured = size;
		size = 0;
	}
	enter->captured = size;
	VISIBLE(size);
	if (size > SNAPLEN)
		return PASS;
	int error = send(args, enter, sizeof(*enter) + size);
	if (error)
		lose_enter(error, pid_tgid, &pending);
	else if (enter->prefix.flags & FLAG_UNREADABLE)
		await_end(pid_tgid, &pending);
	return PASS;
}

/* Send what could not be read when the write began. The kernel has read the buffer since, so its
 * pages are there now; if it stopped short, so may we. */
static __always_inline int send_reread(void *context, const struct exit *exit, u64 size, u64 buffer)
{
	int cpu = exit->prefix.cpu;
	struct cpu_state *state = cpus.lookup(&cpu);
	if (!state)
		return 0;

	struct reread *reread = &state->reread;

	reread->exit = *exit;
	reread->exit.prefix.kind = KIND_REREAD;
	VISIBLE(size);
	if (size > SNAPLEN)
		size = SNAPLEN;
	VISIBLE(size);
	if (size > SNAPLEN)
		return 0;
	if (bpf_probe_read_user(state->payload, size, (void *)buffer)) {
		reread->exit.prefix.flags |= FLAG_UNREADABLE;
		if (exit->returned > 0 && exit->returned < size)
			size = exit->returned;
		else
			size = 0;
		VISIBLE(size);
		if (size > SNAPLEN)
			return 0;
		if (bpf_probe_read_user(state->payload, size, (void *)buffer))
			size = 0;
	}
	reread->captured = size;
	VISIBLE(size);
	if (size > SNAPLEN)
		return 0;
	return send(context, reread, sizeof(*reread) + size);
}

int on_write_exit(struct tracepoint__syscalls__sys_exit_write *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	int cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = cpus.lookup(&cpu);
	if (!state || (state->active != pid_tgid && !wanted(pid_tgid)))
		return PASS;

	struct exit exit;
	int error = 0, first = 0;
	u32 tid = pid_tgid;
	u64 *count = pendings_count.lookup(&first);
	struct pending *found = count && *count > 0 ? pendings.lookup(&tid) : NULL;

	fill(&exit.prefix, KIND_EXIT, pid_tgid);
	exit.returned = args->ret;
	if (found) {
		struct pending pending = *found;

		pendings.delete(&tid);
		__sync_fetch_and_add(count, -1);
		if (pending.lost)
			return PASS;
		error = send_reread(args, &exit, pending.captured, pending.buffer);
	} else {
		error = send(args, &exit, sizeof(exit));
	}
	count_lost_exit(error);
	return PASS;
}

#ifdef FOLLOW
int on_new_task(struct tracepoint__task__task_newtask *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 child = args->pid;
	u8 yes = 1;

	if ((args->clone_flags & CLONE_THREAD) || !brings_children(pid_tgid))
		return PASS;
	struct losses *lost = targets.update(&child, &yes) ? losses_here() : NULL;
	if (lost)
		lost->follows++;
	return PASS;
}
#endif

int on_process_exec(struct tracepoint__sched__sched_process_exec *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tgid = pid_tgid >> 32;

	if (known.lookup(&tgid))
		send_process(args, pid_tgid);
	return PASS;
}

/* A process's number may be used again from here on. */
int on_process_free(struct tracepoint__sched__sched_process_free *args)
{
	u32 pid = args->pid;

#ifdef TARGETS
	targets.delete(&pid);
#endif
	if (known.delete(&pid))
		return PASS;
	for (int cpu = 0; cpu < CPUS; cpu++) {
		int key = cpu;
		struct cpu_state *state = cpus.lookup(&key);

		if (state && state->last_tgid == pid)
			state->last_tgid = state->active = 0;
	}
	return PASS;
}
