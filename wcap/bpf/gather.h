/* Reading the payload of a call: one buffer, or a vector, or messages with a vector each.
 *
 * One step is a segment, or up to a piece of one. A program takes STEPS of them and then goes on in
 * itself, which the kernel allows 33 times. A whole piece is
 * sent on as a part, and what is left goes with the record of the call, which comes last.
 */
#pragma once
#include "state.h"

#define STEPS 128

/* struct iovec, struct user_msghdr and struct mmsghdr (include/linux/socket.h). */
struct segment {
	u64 base;
	u64 size;
};
struct message {
	u64 name;
	u32 name_size;
	u32 unused;
	u64 vector;
	u64 segments;
	u64 control, control_size, flags;
	u32 sent; /* of a message of several only */
	u32 unused_too;
};

static __always_inline void stop(struct gather *gather, u16 why)
{
	gather->flags |= why;
	gather->stopped = 1;
}

static __always_inline void send_part(void *context, struct cpu_state *state)
{
	struct gather *gather = &state->gather;
	struct part *part = &state->part.part;
	u64 size = gather->fill;

	/* Of its own time, or a perf buffer could not be drained in the midst of a large call. */
	fill(&part->prefix, KIND_PART, state->call.pid_tgid, CLOCK());
	part->sequence = gather->sequence;
	part->captured = size;
	VISIBLE(size);
	if (size > PIECE)
		return;
	if (send(context, part, sizeof(*part) + size))
		stop(gather, FLAG_PART_LOST);
	else
		gather->before += size;
	gather->fill = 0;
}

static __always_inline void describe_call(struct enter *enter, struct cpu_state *state)
{
	struct call *call = &state->call;

	fill(&enter->prefix, KIND_ENTER, call->pid_tgid, call->time_ns);
	enter->prefix.syscall = call->syscall;
	enter->sequence = state->gather.sequence;
	enter->count = state->gather.total;
	enter->fd = call->fd;
	enter->captured = state->gather.fill;
	read_own_name(&enter->comm);
	enter->target = call->target;
	enter->extra = 0;
#ifdef AT_EXIT
	enter->returned = state->gather.returned;
#endif
	enter->prefix.flags = call->flags | state->gather.flags;
}

static __always_inline void describe_extra(struct enter *enter, struct cpu_state *state)
{
	struct extra *extra = &state->full.extra;
	struct call *call = &state->call;
	u32 size = call->address_size;

	enter->extra = sizeof(*extra);
	extra->offset = call->offset;
	extra->source_fd = call->source_fd;
	extra->source = call->source;
	extra->message = state->gather.message;
	extra->address_size = 0;
	if (!call->address || !size)
		return;
	if (size > sizeof(extra->address))
		size = sizeof(extra->address);
	VISIBLE(size);
	if (size <= sizeof(extra->address) &&
	    !read_user(extra->address, size, (void *)call->address)) {
		extra->address_size = size;
		enter->prefix.flags |= FLAG_ADDRESS;
	}
}

/* Send the record of the call or message at hand, with what is left of its payload. */
static __always_inline void send_enter(void *context, struct cpu_state *state)
{
	struct gather *gather = &state->gather;
	struct call *call = &state->call;
	u64 size = gather->fill, pid_tgid = call->pid_tgid;
	int error;

	VISIBLE(size);
	if (size > PIECE)
		return;
	if (call->shape == SHAPE_MESSAGES || call->flags & (FLAG_OFFSET | FLAG_SOURCE) || call->address) {
		describe_call(&state->full.enter, state);
		describe_extra(&state->full.enter, state);
		error = send(context, &state->full.enter,
			     sizeof(struct enter) + sizeof(struct extra) + size);
	} else {
		describe_call(&state->plain.enter, state);
		error = send(context, &state->plain.enter, sizeof(struct enter) + size);
	}
	if (error)
		lose_enter(error, pid_tgid, gather->sequence);
	else
		gather->recorded++;
}

/* Send the end of a call, with what could not be read when it began. */
static __always_inline void send_reread(void *context, struct cpu_state *state)
{
	struct gather *gather = &state->gather;
	struct reread *reread = &state->end.reread;
	u64 size = gather->fill;

	fill(&reread->exit.prefix, KIND_REREAD, state->call.pid_tgid, state->call.time_ns);
	reread->exit.prefix.flags = gather->flags;
	reread->exit.returned = gather->returned;
	reread->captured = size;
	reread->count = gather->total;
	VISIBLE(size);
	if (size > PIECE)
		return;
	count_lost_exit(send(context, reread, sizeof(*reread) + size));
}

/* The call has been recorded. What has to be known of it when it ends is put down. */
static __always_inline void end_call(struct cpu_state *state)
{
#ifndef AT_EXIT
	struct gather *gather = &state->gather;
	struct call *call = &state->call;
	struct pending pending = {};

	if (gather->reread)
		return;
	pending.lost = !gather->recorded;
	pending.pointer = call->pointer;
	pending.count = call->count;
	pending.shape = call->shape;
	/* If the message itself could not be read, that is to be tried again, too. */
	if (call->shape == SHAPE_MESSAGE && gather->first_vector) {
		pending.pointer = gather->first_vector;
		pending.count = gather->first_segments;
		pending.shape = SHAPE_VECTOR;
	}
	pending.captured = gather->before + gather->fill;
	if (pending.lost || call->shape == SHAPE_MESSAGES ||
	    (gather->flags & FLAG_UNREADABLE && !(call->flags & FLAG_NO_PAYLOAD)))
		await_end(call->pid_tgid, &pending);
#endif
}

static __always_inline void begin_event(struct cpu_state *state)
{
	struct gather *gather = &state->gather;

	gather->sequence = ++state->sequence;
	gather->total = gather->before = gather->fill = 0;
	gather->flags = gather->paged = 0;
	gather->stopped = (state->call.flags & FLAG_NO_PAYLOAD) != 0;
	gather->segments = gather->left = 0;
	gather->open = 1;
}

static __always_inline void end_event(void *context, struct cpu_state *state)
{
	state->gather.open = 0;
	if (state->gather.reread)
		send_reread(context, state);
	else
		send_enter(context, state);
}

static __always_inline void take_vector(struct gather *gather, u64 vector, u64 segments)
{
	/* Of too many, which the kernel refuses, one still learns what was asked at first. */
	if (segments > 2 * MAX_SEGMENTS) {
		gather->flags |= FLAG_UNREADABLE;
		segments = 2 * MAX_SEGMENTS;
	}
	gather->first_vector = gather->vector = vector;
	gather->first_segments = gather->segments = segments;
}

static __always_inline void next_message(struct cpu_state *state)
{
	struct gather *gather = &state->gather;
	struct call *call = &state->call;
	struct message message = {};
	u32 size = call->shape == SHAPE_MESSAGES ? sizeof(message) : 56;

	gather->message = call->shape == SHAPE_MESSAGES ? call->count - gather->messages : 0;
	gather->messages--;
	begin_event(state);
	call->address = 0;
	VISIBLE(size);
	if (size > sizeof(message))
		return;
#ifdef AT_EXIT
	bool was_sent = call->shape == SHAPE_MESSAGES && (s64)gather->message < call->returned;

	if (call->shape == SHAPE_MESSAGES && !was_sent && (call->returned >= 0 || gather->message))
		gather->flags |= FLAG_UNSENT;
#endif
	u64 header = gather->header;
	gather->header += sizeof(message);
	if (read_user(&message, size, (void *)header)) {
		take_vector(gather, 0, 0);
		stop(gather, FLAG_UNREADABLE);
		return;
	}
#ifdef AT_EXIT
	if (was_sent)
		gather->returned = message.sent;
#endif
	call->address = message.name;
	call->address_size = message.name_size;
	take_vector(gather, message.vector, message.segments);
}

static __always_inline void next_segment(struct gather *gather)
{
	struct segment segment;
	u64 room = gather->total < MAX_CALL ? MAX_CALL - gather->total : 0;

	if (read_user(&segment, sizeof(segment), (void *)gather->vector)) {
		stop(gather, FLAG_UNREADABLE);
		gather->segments = 0;
		return;
	}
	gather->vector += sizeof(segment);
	gather->segments--;
	if (segment.size > room)
		segment.size = room;
	gather->total += segment.size;
	if (gather->stopped)
		return;
	u64 skip = gather->skip < segment.size ? gather->skip : segment.size;
	gather->skip -= skip;
	gather->base = segment.base + skip;
	gather->left = segment.size - skip;
}

static __always_inline void next_piece(void *context, struct cpu_state *state)
{
	struct gather *gather = &state->gather;
	u64 at = gather->fill, have = at + gather->before + gather->earlier;
	u64 size = gather->left, to_page_end = PAGE - (gather->base & (PAGE - 1));

	if (have >= SNAPLEN) {
		gather->stopped = 1;
		gather->left = 0;
		return;
	}
	if (at >= PIECE) {
		send_part(context, state);
		if (gather->stopped)
			gather->left = 0;
		return; /* and not on: the verifier would walk all that follows twice */
	}
	if (size > PIECE - at)
		size = PIECE - at;
	if (size > SNAPLEN - have)
		size = SNAPLEN - have;
	if (gather->paged && size > to_page_end)
		size = to_page_end;
	VISIBLE(size);
	if (size > PIECE)
		return;
	VISIBLE(at);
	if (at >= PIECE)
		return;
	if (!read_user(state->payload + at, size, (void *)gather->base)) {
		gather->fill += size;
		gather->base += size;
		gather->left -= size;
	} else if (!gather->paged && size > to_page_end) {
		gather->paged = 1;
	} else {
		stop(gather, FLAG_UNREADABLE);
		gather->left = 0;
	}
}

/* Do one step; say whether there is another. Of small messages, each is one step. */
static __always_inline bool step(void *context, struct cpu_state *state)
{
	struct gather *gather = &state->gather;

	if (!gather->open) {
		if (!gather->messages) {
			end_call(state);
			return false;
		}
		next_message(state);
	}
	if (!gather->left && gather->segments)
		next_segment(gather);
	if (gather->left)
		next_piece(context, state);
	if (gather->left || gather->segments)
		return true;
	end_event(context, state);
	return true;
}

/* There are no more steps: the messages that are left are lost, and said to be. */
static __always_inline void lose_messages(struct cpu_state *state)
{
	struct losses *lost = losses_here();
	u64 messages = state->gather.messages;

	if (!lost || !messages)
		return;
	lost->enters_other += messages;
	note_losers(lost, state->sequence + 1, state->sequence + messages, state->call.pid_tgid >> 32);
	state->sequence += messages;
	state->gather.messages = 0;
}

/* This is the last program of the 33: what is left of the payload, and other messages, are lost. */
static __always_inline void break_off(void *context, struct cpu_state *state)
{
	struct gather *gather = &state->gather;

	if (gather->left || gather->segments)
		stop(gather, FLAG_PART_LOST);
	lose_messages(state);
	if (gather->open)
		end_event(context, state);
	end_call(state);
}

#ifdef BPF_ITER_NUM_NEW
/* The kernel's functions of these names (include/linux/bpf.h: struct bpf_iter_num), which
 * wcap/recorder/casting.py puts in. The verifier walks a loop that they count until nothing new
 * comes up, which is soon; a loop that counts by itself, round by round. */
struct rounds {
	u64 opaque;
};
static long (*begin_rounds)(struct rounds *rounds, int start, int end) = (void *)BPF_ITER_NUM_NEW;
static int *(*next_round)(struct rounds *rounds) = (void *)BPF_ITER_NUM_NEXT;
static void (*end_rounds)(struct rounds *rounds) = (void *)BPF_ITER_NUM_DESTROY;

/* Do up to STEPS steps; say whether there are more. */
static __always_inline bool walk(void *context, struct cpu_state *state)
{
	struct rounds rounds;
	bool more = true;

	begin_rounds(&rounds, 0, STEPS);
	while (more && next_round(&rounds))
		more = step(context, state);
	end_rounds(&rounds);
	return more;
}
#else
static __always_inline bool walk(void *context, struct cpu_state *state)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < STEPS; i++)
		if (!step(context, state))
			return false;
	return true;
}
#endif

int gather(void *context)
{
	struct cpu_state *state = state_here();

	if (!state || !walk(context, state))
		return PASS;
	programs.call(context, PROGRAM_GATHER);
	break_off(context, state);
	return PASS;
}

/* Set out to read the payload of the call at hand. */
static __always_inline void set_out(struct cpu_state *state)
{
	struct gather *gather = &state->gather;
	struct call *call = &state->call;

	gather->skip = gather->earlier = gather->recorded = 0;
	gather->messages = gather->message = gather->open = gather->reread = 0;
	gather->returned = call->returned;
	gather->left = gather->segments = 0;
	if (call->shape == SHAPE_MESSAGE || call->shape == SHAPE_MESSAGES) {
		gather->messages = call->shape == SHAPE_MESSAGE ? 1 : call->count;
		gather->header = call->pointer;
		return;
	}
	begin_event(state);
	if (call->shape == SHAPE_VECTOR) {
		take_vector(gather, call->pointer, call->count);
		return;
	}
	gather->total = call->count;
	if (call->shape == SHAPE_BUFFER) {
		gather->base = call->pointer;
		gather->left = call->count;
	}
}

/* Set out to read what could not be read when the call began. */
static __always_inline void set_out_again(struct cpu_state *state, const struct pending *pending,
					  s64 returned)
{
	struct gather *gather = &state->gather;

	gather->messages = gather->before = gather->fill = 0;
	gather->flags = gather->paged = gather->stopped = 0;
	gather->left = gather->segments = gather->total = 0;
	gather->sequence = PART_AT_END | state->call.time_ns;
	gather->open = gather->reread = 1;
	gather->returned = returned;
	gather->skip = gather->earlier = pending->captured;
	if (pending->shape == SHAPE_MESSAGE) {
		struct message message = {};

		if (read_user(&message, sizeof(message) - 8, (void *)pending->pointer))
			stop(gather, FLAG_UNREADABLE);
		take_vector(gather, message.vector, message.segments);
		return;
	}
	if (pending->shape == SHAPE_VECTOR) {
		take_vector(gather, pending->pointer, pending->count);
		return;
	}
	gather->skip = 0;
	gather->base = pending->pointer + pending->captured;
	gather->left = pending->count - pending->captured;
}
