/* Records what chosen tasks write: payload at entry, result at exit, or with AT_EXIT both then.
 *
 * A tracepoint of each system call puts its arguments down as a struct call; from there all are
 * alike. route() sees to it that the process and the file descriptor have been described, then
 * gather() reads the payload and sends the record. Programs that are too large to be in every
 * tracepoint's are gone on in by tail calls. wcap/recorder/probe.py sets by -D:
 *   CPUS, SNAPLEN, RING_PAGES   sizes
 *   CLOCK                       the helper that reads the capture's clock
 *   PERF                        send through a perf buffer instead of a ring buffer
 *   AT_EXIT                     record calls when they have ended
 *   LOSSLESS                    bytes in the ring buffer from which on writers are stopped
 *   URING                       the kernel has io_uring
 *   TYPED_TASK                  the verifier follows pointers from the current task by BTF
 *   FILES, and names of members where BTF says that structures have them
 * and whom to record, in choose.h.
 */
#include "record.h"
#include "state.h"
#include "task.h"
#include "choose.h"
#include "file.h"
#include "describe.h"
#include "gather.h"

#define CLONE_THREAD 0x00010000 /* include/uapi/linux/sched.h */
#define SIGSTOP 19

/* Payloads of up to this many bytes are read into the stack, of which a program has 512 bytes: a
 * hardened kernel checks where it copies user memory to, and is soonest done with the stack. */
#define SMALL 128

/* struct syscall_trace_enter and _exit (kernel/trace/trace.h). */
struct sys_enter {
	u64 common;
	u64 number;
	u64 args[6];
};
struct sys_exit {
	u64 common;
	u64 number;
	s64 returned;
};

#ifdef AT_EXIT
#define CONTEXT struct sys_exit
#define RETURNED (context->returned)
/* The arguments are in the registers that the call was made with. */
#define ARGUMENT(n) ({ \
	u64 registers_ = (u64)bpf_task_pt_regs((void *)bpf_get_current_task_btf()), value_; \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value_) : "r"(registers_), "i"(ARGUMENT_##n)); \
	value_; })
#else
#define CONTEXT struct sys_enter
#define RETURNED 0
#define ARGUMENT(n) (context->args[n])
#endif

/* Whether the current task, which makes a call, is recorded. A thread that calls again is not
 * looked for again where the answer is steady. */
static __always_inline bool wanted_here(const struct cpu_state *state, u64 pid_tgid)
{
#ifdef STEADY
	if (state->active == pid_tgid)
		return true;
#endif
	return wanted(pid_tgid);
}

#ifdef LOSSLESS
BPF_HASH(stopped, u32, u8, 65536);

/* Stop the process rather than lose what it writes; the recorder lets it go on. The signal goes
 * first: whoever is in the map has been signalled. */
static __always_inline void stop_if_full(u64 pid_tgid)
{
	u32 tgid = pid_tgid >> 32;
	u8 yes = 1;

	/* bcc's own way to say this came after 0.26: wcap/recorder/casting.py puts the map in. */
	if (bpf_ringbuf_query((void *)bpf_pseudo_fd(1, EVENTS_MAP), BPF_RB_AVAIL_DATA) < LOSSLESS)
		return;
	bpf_send_signal(SIGSTOP);
	stopped.update(&tgid, &yes);
}
#endif

/* Where not every call of a thread is recorded, its end can only be told by its beginning: by the
 * end, the descriptor may stand for something else, and the end of another call would be taken for
 * one that was lost. */
static __always_inline void note_begun(u64 pid_tgid)
{
#if defined(BY_CALL) && !defined(AT_EXIT)
	u32 tid = pid_tgid;
	u8 yes = 1;

	count_lost_exit(begun.update(&tid, &yes));
#endif
}

/* Whether the call that ends in the current task is one whose beginning was recorded. */
static __always_inline bool has_begun(const struct cpu_state *state, u64 pid_tgid)
{
#ifdef BY_CALL
	u32 tid = pid_tgid;

	if (!begun.lookup(&tid))
		return false;
	begun.delete(&tid);
	return true;
#else
	return state->active == pid_tgid || wanted(pid_tgid);
#endif
}

/* Return the state of this CPU if the call of the current task is recorded, as far as that can be
 * told from who makes it and by which descriptor. */
static __always_inline struct cpu_state *chosen(u32 fd)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct cpu_state *state = state_here();

	if (!state || has_come_to(PHASE_ENDING))
		return NULL;
	if (!fd_wanted(fd) || !wanted_here(state, pid_tgid)) {
		state->active = 0;
		return NULL;
	}
#ifdef LOSSLESS
	stop_if_full(pid_tgid);
#endif
	/* on_process_free finds by last_tgid whom to forget. */
	state->active = state->last_tgid == pid_tgid >> 32 ? pid_tgid : 0;
	return state;
}

/* Put down a call that is recorded. */
static __always_inline struct call *begin(struct cpu_state *state, u8 syscall, u8 shape, u32 fd)
{
	struct call *call = &state->call;

	call->pid_tgid = bpf_get_current_pid_tgid();
	call->time_ns = CLOCK();
	call->syscall = syscall;
	call->shape = shape;
	call->flags = call->tried = 0;
	call->fd = fd;
	call->target = call->source = call->source_fd = 0;
	call->offset = 0;
	call->address = 0;
	return call;
}

static __always_inline bool introduced(struct cpu_state *state, u32 tgid)
{
	if (state->last_tgid == tgid)
		return true;
	if (!known.lookup(&tgid))
		return false;
	state->last_tgid = tgid;
	return true;
}

static __always_inline bool is_ignored(const struct known_target *target)
{
#ifdef PATHS
	u32 id = target->id;

	if (ignored.lookup(&id))
		return true;
#endif
	return !target->wanted;
}

/* What is read of the descriptor that a call reads from; none for most. */
static __always_inline void find_source(void *context, struct cpu_state *state)
{
	struct call *call = &state->call;
	struct known_target target;

	if (!(call->flags & FLAG_SOURCE) || call->tried & TRIED_SOURCE)
		return;
	call->tried |= TRIED_SOURCE;
	if (!locate(state, call->source_fd, &target)) {
		state->walk.of_source = 1;
		programs.call(context, PROGRAM_TARGET);
	}
	call->source = target.id;
}

/* Describe what has not been described yet, coming back here each time, then record the call. */
int route(CONTEXT *context)
{
	struct known_target target;
	struct cpu_state *state = state_here();
	if (!state)
		return PASS;
	struct call *call = &state->call;

	call->returned = RETURNED;
	if (!(call->tried & TRIED_PROCESS) && !introduced(state, call->pid_tgid >> 32)) {
		call->tried |= TRIED_PROCESS;
		programs.call(context, PROGRAM_PROCESS);
	}
	if (!(call->tried & TRIED_TARGET)) {
		call->tried |= TRIED_TARGET;
		if (!locate(state, call->fd, &target)) {
			state->walk.of_source = 0;
			programs.call(context, PROGRAM_TARGET);
		}
		if (is_ignored(&target))
			return PASS;
		call->target = target.id;
	}
	find_source(context, state);
	note_begun(call->pid_tgid);
	set_out(state);
	programs.call(context, PROGRAM_GATHER);
	lose_enter(0, call->pid_tgid, ++state->sequence);
	return PASS;
}

static __always_inline int introduce(void *context, struct cpu_state *state, u64 pid_tgid)
{
	u32 tgid = pid_tgid >> 32;
	u8 yes = 1;

	if (send_process(context, state, pid_tgid) || known.update(&tgid, &yes))
		return false;
	state->last_tgid = tgid;
	return true;
}

int describe_process(void *context)
{
	struct cpu_state *state = state_here();
	if (!state)
		return PASS;

	if (introduce(context, state, state->call.pid_tgid))
		state->active = state->call.pid_tgid;
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

#ifdef FILES
int describe_file(void *context)
{
	struct cpu_state *state = state_here();
	if (!state)
		return PASS;

	if (!describe_target(context, state))
		programs.call(context, PROGRAM_TARGET);
	if (!state->walk.of_source && !state->walk.wanted)
		return PASS;
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}
#endif

/* A small write by a process to a target that are both known is recorded at once. */
static __always_inline bool record_small(CONTEXT *context, struct cpu_state *state, u32 fd,
					 u64 buffer, u64 size)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct known_target target;
	struct {
		struct enter enter;
		u8 payload[SMALL];
	} small = {};

	if (SMALL > SNAPLEN || size > SMALL || !introduced(state, pid_tgid >> 32) ||
	    !locate(state, fd, &target))
		return false;
	if (is_ignored(&target))
		return true;
	fill(&small.enter.prefix, KIND_ENTER, pid_tgid, CLOCK());
	small.enter.count = small.enter.captured = size;
	small.enter.fd = fd;
	small.enter.target = target.id;
#ifdef AT_EXIT
	small.enter.returned = RETURNED;
#endif
	read_own_name(&small.enter.comm);
	VISIBLE(size);
	if (size > SMALL || bpf_probe_read_user(small.payload, size, (void *)buffer))
		return false;
	note_begun(pid_tgid);
	small.enter.sequence = ++state->sequence;
	VISIBLE(size);
	if (size > SMALL)
		return true;
	int error = send(context, &small, sizeof(small.enter) + size);
	if (error) {
		lose_enter(error, pid_tgid, small.enter.sequence);
#ifndef AT_EXIT
		struct pending pending = {.lost = 1};

		await_end(pid_tgid, &pending);
#endif
	}
	return true;
}

int on_write(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	u64 buffer = ARGUMENT(1), size = ARGUMENT(2);

	if (record_small(context, state, fd, buffer, size))
		return PASS;
	struct call *call = begin(state, CALL_WRITE, SHAPE_BUFFER, fd);

	call->pointer = buffer;
	call->count = size;
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

static __always_inline void at_offset(struct call *call, s64 offset)
{
	call->offset = offset;
	call->flags |= FLAG_OFFSET;
}

int on_pwrite64(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin(state, CALL_PWRITE64, SHAPE_BUFFER, fd);

	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	at_offset(call, ARGUMENT(3));
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

static __always_inline struct call *begin_vector(struct cpu_state *state, u8 syscall, u32 fd,
						 u64 vector, u64 segments)
{
	struct call *call = begin(state, syscall, SHAPE_VECTOR, fd);

	call->pointer = vector;
	call->count = segments;
	return call;
}

int on_writev(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_vector(state, CALL_WRITEV, fd, ARGUMENT(1), ARGUMENT(2));

	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_pwritev(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_vector(state, CALL_PWRITEV, fd, ARGUMENT(1), ARGUMENT(2));

	at_offset(call, ARGUMENT(3));
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

/* With an offset of -1, where the file is. */
int on_pwritev2(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_vector(state, CALL_PWRITEV2, fd, ARGUMENT(1), ARGUMENT(2));
	s64 offset = ARGUMENT(3);

	if (offset != -1)
		at_offset(call, offset);
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_sendto(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin(state, CALL_SENDTO, SHAPE_BUFFER, fd);

	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	call->address = ARGUMENT(4);
	call->address_size = ARGUMENT(5);
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_sendmsg(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin(state, CALL_SENDMSG, SHAPE_MESSAGE, fd);

	call->pointer = ARGUMENT(1);
	call->count = 1;
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_sendmmsg(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin(state, CALL_SENDMMSG, SHAPE_MESSAGES, fd);
	u32 messages = ARGUMENT(2);

	call->pointer = ARGUMENT(1);
	call->count = messages > MAX_SEGMENTS ? MAX_SEGMENTS : messages;
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

/* A call that has no payload of its own: it moves `count` bytes from one descriptor to another. */
static __always_inline struct call *begin_move(struct cpu_state *state, u8 syscall, u32 fd,
					       u32 source_fd, u64 count)
{
	struct call *call = begin(state, syscall, SHAPE_NONE, fd);

	call->source_fd = source_fd;
	call->count = count;
	call->flags = FLAG_NO_PAYLOAD | FLAG_SOURCE;
	return call;
}

/* The kernel adds to the offset what it moved: `returned` is 0 before. */
static __always_inline void at_offset_in(struct call *call, u64 place, s64 returned)
{
	s64 offset;

	if (place && !bpf_probe_read_user(&offset, sizeof(offset), (void *)place))
		at_offset(call, offset - (returned > 0 ? returned : 0));
}

int on_sendfile(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_move(state, CALL_SENDFILE, fd, ARGUMENT(1), ARGUMENT(3));

	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_splice(CONTEXT *context)
{
	u32 fd = ARGUMENT(2);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_move(state, CALL_SPLICE, fd, ARGUMENT(0), ARGUMENT(4));

	at_offset_in(call, ARGUMENT(3), RETURNED);
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_tee(CONTEXT *context)
{
	u32 fd = ARGUMENT(1);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_move(state, CALL_TEE, fd, ARGUMENT(0), ARGUMENT(2));

	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_vmsplice(CONTEXT *context)
{
	u32 fd = ARGUMENT(0);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_vector(state, CALL_VMSPLICE, fd, ARGUMENT(1), ARGUMENT(2));

	call->flags = FLAG_NO_PAYLOAD;
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

int on_copy_file_range(CONTEXT *context)
{
	u32 fd = ARGUMENT(2);
	struct cpu_state *state = chosen(fd);
	if (!state)
		return PASS;
	struct call *call = begin_move(state, CALL_COPY_FILE_RANGE, fd, ARGUMENT(0), ARGUMENT(4));

	at_offset_in(call, ARGUMENT(3), RETURNED);
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}

#ifndef AT_EXIT
int on_exit(struct sys_exit *context)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct cpu_state *state = state_here();
	if (!state || has_come_to(PHASE_ENDED))
		return PASS;
	if (!has_begun(state, pid_tgid))
		return PASS;

	int first = 0;
	u32 tid = pid_tgid;
	u64 *count = pendings_count.lookup(&first), now = CLOCK();
	struct pending *found = count && *count > 0 ? pendings.lookup(&tid) : NULL;

	if (!found) {
		struct exit exit;

		fill(&exit.prefix, KIND_EXIT, pid_tgid, now);
		exit.returned = context->returned;
		count_lost_exit(send(context, &exit, sizeof(exit)));
		return PASS;
	}
	struct pending pending = *found;

	pendings.delete(&tid);
	__sync_fetch_and_add(count, -1);
	if (pending.lost)
		return PASS;
	state->call.pid_tgid = pid_tgid;
	state->call.time_ns = now;
	set_out_again(state, &pending, context->returned);
	if (pending.shape == SHAPE_MESSAGES) {
		state->gather.header = pending.pointer;
		programs.call(context, PROGRAM_SENT);
	} else {
		programs.call(context, PROGRAM_GATHER);
	}
	count_lost_exit(-1);
	return PASS;
}

/* Send the end of a sendmmsg: what it returned, and how much of each message it sent. */
int sent(void *context)
{
	struct cpu_state *state = state_here();
	if (!state)
		return PASS;
	struct gather *gather = &state->gather;
	struct reread *end = &state->end.reread;
	u64 messages = gather->returned > 0 ? gather->returned : 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < STEPS; i++) {
		u64 at = gather->fill, message = gather->header + at * sizeof(struct message);

		if (at >= messages || at >= MAX_SEGMENTS)
			break;
		VISIBLE(at);
		if (at >= MAX_SEGMENTS)
			break;
		if (bpf_probe_read_user(state->payload + at * sizeof(u32), sizeof(u32),
					(void *)(message + __builtin_offsetof(struct message, sent)))) {
			gather->stopped = 1; /* it is not known of the others */
			break;
		}
		gather->fill++;
	}
	if (!gather->stopped && gather->fill < messages && gather->fill < MAX_SEGMENTS)
		programs.call(context, PROGRAM_SENT);
	fill(&end->exit.prefix, KIND_SENT, state->call.pid_tgid, state->call.time_ns);
	end->exit.returned = gather->returned;
	u64 size = gather->fill * sizeof(u32);

	end->captured = size;
	end->count = 0;
	VISIBLE(size);
	if (size <= MAX_SEGMENTS * sizeof(u32))
		count_lost_exit(send(context, end, sizeof(*end) + size));
	return PASS;
}
#endif

#ifdef FOLLOW
int on_new_task(struct tracepoint__task__task_newtask *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 child = args->pid;
	u8 yes = 1;

	if (args->clone_flags & CLONE_THREAD)
		return PASS;
	if (!brings_children(pid_tgid))
		return PASS;
	struct losses *lost = targets.update(&child, &yes) ? losses_here() : NULL;
	if (lost)
		lost->follows++;
	return PASS;
}
#endif

struct passer {
	u32 tgid;
	u32 how;
};
BPF_HASH(bypasses, struct passer, u64, 65536);

/* Count what is written without passing here; the first time, say so. */
static __always_inline void pass_by(void *context, u64 pid_tgid, u32 how)
{
	struct passer passer = {.tgid = pid_tgid >> 32, .how = how};
	struct bypass bypass = {.how = how};
	u64 one = 1, *count = bypasses.lookup(&passer);

	if (count) {
		__sync_fetch_and_add(count, 1);
		return;
	}
	bypasses.update(&passer, &one);
	fill(&bypass.prefix, KIND_BYPASS, pid_tgid, CLOCK());
	read_own_name(&bypass.comm);
	send(context, &bypass, sizeof(bypass));
}

#ifdef URING
/* enum io_uring_op (include/uapi/linux/io_uring.h): what writes, sends or moves bytes. */
#define OPERATION(number) (1ULL << (number))
#define WRITING (OPERATION(2) | OPERATION(5) | OPERATION(9) | OPERATION(23) | OPERATION(26) | \
		 OPERATION(30) | OPERATION(33) | OPERATION(47) | OPERATION(48) | OPERATION(61))

int on_uring_submit(struct tracepoint__io_uring__io_uring_submit_req *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u8 operation = args->opcode;

	if (operation < 64 && WRITING >> operation & 1 && wanted(pid_tgid))
		pass_by(args, pid_tgid, HOW_IO_URING);
	return PASS;
}
#endif

#ifdef MM_TASK_SIZE
/* A 32-bit program has addresses up to here. */
#define LAST_OF_32_BITS (1ULL << 32)

static __always_inline bool is_compat(void)
{
	u64 memory, size = 0;

	LOAD(memory, CURRENT_TASK(), TASK_MM);
	if (memory)
		LOAD(size, memory, MM_TASK_SIZE);
	return size && size <= LAST_OF_32_BITS;
}
#endif

int on_process_exec(struct tracepoint__sched__sched_process_exec *args)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tgid = pid_tgid >> 32;
	struct cpu_state *state = state_here();
	if (!state)
		return PASS;

#ifdef MM_TASK_SIZE
	if (is_compat() && wanted(pid_tgid))
		pass_by(args, pid_tgid, HOW_COMPAT);
#endif
	if (known.lookup(&tgid))
		introduce(args, state, pid_tgid);
	return PASS;
}

/* A process's number may be used again from here on. */
int on_process_free(struct tracepoint__sched__sched_process_free *args)
{
	u32 pid = args->pid;

#ifdef TARGETS
	targets.delete(&pid);
#endif
#ifdef NUMBERED
	numbered.delete(&pid);
#endif
#ifdef BY_CALL
	begun.delete(&pid);
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
