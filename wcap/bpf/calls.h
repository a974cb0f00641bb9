/* The system calls that are recorded, each in a tracepoint of its own. */
#pragma once
#include "call.h"
#include "route.h"

/* Payloads of up to this many bytes are read into the stack, of which a program has 512 bytes: a
 * hardened kernel checks where it copies user memory to, and is soonest done with the stack. */
#define SMALL 128

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
	if (size > SMALL || read_user(small.payload, size, (void *)buffer))
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
	struct call *call = put_down(state, CALL_WRITE, SHAPE_BUFFER, fd);

	call->pointer = buffer;
	call->count = size;
	return go_on(context);
}

static __always_inline void at_offset(struct call *call, s64 offset)
{
	call->offset = offset;
	call->flags |= FLAG_OFFSET;
}

int on_pwrite64(CONTEXT *context)
{
	struct call *call = begin(CALL_PWRITE64, SHAPE_BUFFER, ARGUMENT(0));
	if (!call)
		return PASS;
	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	at_offset(call, ARGUMENT(3));
	return go_on(context);
}

int on_writev(CONTEXT *context)
{
	struct call *call = begin(CALL_WRITEV, SHAPE_VECTOR, ARGUMENT(0));
	if (!call)
		return PASS;
	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	return go_on(context);
}

int on_pwritev(CONTEXT *context)
{
	struct call *call = begin(CALL_PWRITEV, SHAPE_VECTOR, ARGUMENT(0));
	if (!call)
		return PASS;
	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	at_offset(call, ARGUMENT(3));
	return go_on(context);
}

/* With an offset of -1, where the file is. */
int on_pwritev2(CONTEXT *context)
{
	struct call *call = begin(CALL_PWRITEV2, SHAPE_VECTOR, ARGUMENT(0));
	if (!call)
		return PASS;
	s64 offset = ARGUMENT(3);

	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	if (offset != -1)
		at_offset(call, offset);
	return go_on(context);
}

int on_sendto(CONTEXT *context)
{
	struct call *call = begin(CALL_SENDTO, SHAPE_BUFFER, ARGUMENT(0));
	if (!call)
		return PASS;
	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	call->address = ARGUMENT(4);
	call->address_size = ARGUMENT(5);
	return go_on(context);
}

int on_sendmsg(CONTEXT *context)
{
	struct call *call = begin(CALL_SENDMSG, SHAPE_MESSAGE, ARGUMENT(0));
	if (!call)
		return PASS;
	call->pointer = ARGUMENT(1);
	call->count = 1;
	return go_on(context);
}

int on_sendmmsg(CONTEXT *context)
{
	struct call *call = begin(CALL_SENDMMSG, SHAPE_MESSAGES, ARGUMENT(0));
	if (!call)
		return PASS;
	u32 messages = ARGUMENT(2);

	call->pointer = ARGUMENT(1);
	call->count = messages > MAX_SEGMENTS ? MAX_SEGMENTS : messages;
	return go_on(context);
}

/* A call without a payload of its own: it moves `count` bytes from one descriptor to another. */
static __always_inline void moves(struct call *call, u32 source_fd, u64 count)
{
	call->source_fd = source_fd;
	call->count = count;
	call->flags |= FLAG_NO_PAYLOAD | FLAG_SOURCE;
}

/* The kernel adds to the offset what it moved: `returned` is 0 before. */
static __always_inline void at_offset_in(struct call *call, u64 place, s64 returned)
{
	s64 offset;

	if (place && !read_user(&offset, sizeof(offset), (void *)place))
		at_offset(call, offset - (returned > 0 ? returned : 0));
}

int on_sendfile(CONTEXT *context)
{
	struct call *call = begin(CALL_SENDFILE, SHAPE_NONE, ARGUMENT(0));
	if (!call)
		return PASS;
	moves(call, ARGUMENT(1), ARGUMENT(3));
	return go_on(context);
}

int on_splice(CONTEXT *context)
{
	struct call *call = begin(CALL_SPLICE, SHAPE_NONE, ARGUMENT(2));
	if (!call)
		return PASS;
	moves(call, ARGUMENT(0), ARGUMENT(4));
	at_offset_in(call, ARGUMENT(3), RETURNED);
	return go_on(context);
}

int on_tee(CONTEXT *context)
{
	struct call *call = begin(CALL_TEE, SHAPE_NONE, ARGUMENT(1));
	if (!call)
		return PASS;
	moves(call, ARGUMENT(0), ARGUMENT(2));
	return go_on(context);
}

int on_vmsplice(CONTEXT *context)
{
	struct call *call = begin(CALL_VMSPLICE, SHAPE_VECTOR, ARGUMENT(0));
	if (!call)
		return PASS;
	call->pointer = ARGUMENT(1);
	call->count = ARGUMENT(2);
	call->flags |= FLAG_NO_PAYLOAD;
	return go_on(context);
}

int on_copy_file_range(CONTEXT *context)
{
	struct call *call = begin(CALL_COPY_FILE_RANGE, SHAPE_NONE, ARGUMENT(2));
	if (!call)
		return PASS;
	moves(call, ARGUMENT(0), ARGUMENT(4));
	at_offset_in(call, ARGUMENT(3), RETURNED);
	return go_on(context);
}
