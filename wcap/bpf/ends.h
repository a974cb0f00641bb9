/* The ends of calls whose beginnings were recorded. */
#pragma once
#include "call.h"
#include "gather.h"

#ifndef AT_EXIT
int on_exit(struct sys_exit *context)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct cpu_state *state = state_here();
	if (!state || state->passed == pid_tgid || has_come_to(PHASE_ENDED))
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
		if (read_user(state->payload + at * sizeof(u32), sizeof(u32),
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
