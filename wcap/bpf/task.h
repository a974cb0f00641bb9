/* The current task, by the offsets that BTF gives. */
#pragma once

/* Read a word of a kernel structure. Where the verifier follows pointers by BTF it is one plain
 * load, which the kernel makes safe; elsewhere a helper reads. */
#ifdef TYPED_TASK
#define LOAD(value, base, offset) \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(base), "i"(offset))
#define LOAD32(value, base, offset) \
	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(value) : "r"(base), "i"(offset))
#define CURRENT_TASK() ((u64)bpf_get_current_task_btf())
#else
#define LOAD(value, base, offset) READ(value, base, offset)
#define LOAD32(value, base, offset) READ(*(u32 *)&(value), base, offset)
#define CURRENT_TASK() bpf_get_current_task()
#endif
#define READ(value, base, offset) \
	bpf_probe_read_kernel(&(value), sizeof(value), (void *)((base) + (offset)))

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
