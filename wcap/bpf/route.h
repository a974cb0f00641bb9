/* From a call that was put down to its record: what it concerns is described first.
 *
 * route() goes on, by tail calls, to the program that describes what has not been described yet,
 * which comes back here; then gather() reads the payload and sends the record.
 */
#pragma once
#include "call.h"
#include "describe.h"
#include "gather.h"

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

int describe_process(void *context)
{
	struct cpu_state *state = state_here();
	if (!state)
		return PASS;
	u64 pid_tgid = state->call.pid_tgid;
	u32 tgid = pid_tgid >> 32;
	u8 yes = 1;

	bool introduced = !send_process(context, state, pid_tgid) && !known.update(&tgid, &yes);
	if (introduced)
		state->last_tgid = tgid;
	if (state->call.tried & ONLY_PROCESS)
		return PASS;
	if (introduced)
		state->active = pid_tgid;
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
