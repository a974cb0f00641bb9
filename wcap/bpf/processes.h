/* What happens to processes: forked, another program, gone. */
#pragma once
#include "bypass.h"
#include "route.h"

#define CLONE_THREAD 0x00010000 /* include/uapi/linux/sched.h */

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
	/* Some thread that was passed over may have had its number. */
	for (int cpu = 0; cpu < CPUS; cpu++) {
		int key = cpu;
		struct cpu_state *state = cpus.lookup(&key);

		if (state && state->passed >> 32 == child)
			state->passed = 0;
	}
	return PASS;
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
	if (!known.lookup(&tgid))
		return PASS;
	state->call.pid_tgid = pid_tgid;
	state->call.tried = ONLY_PROCESS;
	programs.call(args, PROGRAM_PROCESS);
	count_lost_process();
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
