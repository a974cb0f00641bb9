/* The current task, by the offsets that BTF gives. */
#pragma once
#include "record.h"

/* LOAD reads a word of what the current task points to. Where the verifier follows pointers by BTF
 * it is one plain load, which the kernel makes safe; elsewhere a helper reads.
 *
 * LOOK does so with a pointer that is only a number to the verifier, once TYPED has told it the
 * type. The kernel has a function for that (bpf_rdonly_cast, 6.2), which costs nothing. bcc knows no
 * way to call one, so this calls a helper that there is not, and wcap/recorder/casting.py puts the
 * function in its place. */
#define READ(value, base, offset) \
	bpf_probe_read_kernel(&(value), sizeof(value), (void *)((base) + (offset)))
#define DIRECT(value, size, base, offset) \
	asm volatile("%0 = *(" #size " *)(%1 + %2)" : "=r"(value) : "r"(base), "i"(offset))
#ifdef TYPED_TASK
/* bcc declares this helper, too (BPF_FUNC_get_current_task_btf), but not that it is asked once. */
static u64 (*current_task)(void) __attribute__((const)) = (void *)158;
#define LOAD(value, base, offset) DIRECT(value, u64, base, offset)
#define LOAD32(value, base, offset) DIRECT(value, u32, base, offset)
#define CURRENT_TASK() current_task()
#else
#define LOAD(value, base, offset) READ(value, base, offset)
#define LOAD32(value, base, offset) READ(*(u32 *)&(value), base, offset)
#define CURRENT_TASK() bpf_get_current_task()
#endif
#ifdef CAST
static u64 (*cast)(u64 pointer, u32 type) = (void *)CAST;
#define TYPED(pointer, type) cast(pointer, type)
#define LOOK(value, base, offset) DIRECT(value, u64, base, offset)
#define LOOK32(value, base, offset) DIRECT(value, u32, base, offset)
#define LOOK16(value, base, offset) DIRECT(value, u16, base, offset)
#else
#define TYPED(pointer, type) (pointer)
#define LOOK(value, base, offset) READ(value, base, offset)
#define LOOK32(value, base, offset) READ(*(u32 *)&(value), base, offset)
#define LOOK16(value, base, offset) READ(*(u16 *)&(value), base, offset)
#endif

/* The name of the current thread. */
static __always_inline void read_own_name(struct name *name)
{
#ifdef CAST
	u64 task = CURRENT_TASK();

	LOAD(name->words[0], task, TASK_COMM_OFFSET);
	LOAD(name->words[1], task, TASK_COMM_OFFSET + 8);
#else
	bpf_get_current_comm(name, sizeof(*name));
#endif
}

#ifdef TASK_GROUP_LEADER_OFFSET
static __always_inline u64 group_leader(void)
{
	u64 leader = 0;

	LOAD(leader, CURRENT_TASK(), TASK_GROUP_LEADER_OFFSET);
	return leader;
}

static __always_inline void read_name(struct name *name, u64 task)
{
	READ(*name, task, TASK_COMM_OFFSET);
}
#endif
