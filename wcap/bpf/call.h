/* How the recording of a call starts, at its tracepoint.
 *
 * A handler calls begin(), adds what only its system call has, and ends with go_on(). How its
 * arguments and its result are found depends on AT_EXIT.
 */
#pragma once
#include "state.h"
#include "choose.h"

#define SIGSTOP 19

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
/* The arguments are in the registers that the call was made with. They are asked for once:
 * BPF_FUNC_task_pt_regs, of which bcc does not say that its answer stays. */
static u64 (*registers_of)(u64 task) __attribute__((const)) = (void *)175;
#define ARGUMENT(n) ({ \
	u64 registers_ = registers_of(CURRENT_TASK()), value_; \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value_) : "r"(registers_), "i"(ARGUMENT_##n)); \
	value_; })
#else
#define CONTEXT struct sys_enter
#define RETURNED 0
#define ARGUMENT(n) (context->args[n])
#endif

/* Whether the current task, which makes a call, is recorded. A thread that calls again is not
 * looked for again where the answer is steady; on_new_task makes one that was passed over a target. */
static __always_inline bool wanted_here(struct cpu_state *state, u64 pid_tgid)
{
#ifdef STEADY
	if (state->active == pid_tgid)
		return true;
	if (wanted(pid_tgid))
		return true;
	state->passed = pid_tgid;
	return false;
#else
	return wanted(pid_tgid);
#endif
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

	if (!state || state->passed == pid_tgid || has_come_to(PHASE_ENDING))
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

static __always_inline struct call *put_down(struct cpu_state *state, u8 syscall, u8 shape, u32 fd)
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

/* Put down the call that the current task makes; NULL if it is not recorded. */
static __always_inline struct call *begin(u8 syscall, u8 shape, u32 fd)
{
	struct cpu_state *state = chosen(fd);

	return state ? put_down(state, syscall, shape, fd) : NULL;
}

/* See to it that the call is recorded as it was put down. */
static __always_inline int go_on(void *context)
{
	programs.call(context, PROGRAM_ROUTE);
	return PASS;
}
