/* Recorded processes that write without passing a tracepoint of a system call. */
#pragma once
#include "state.h"
#include "task.h"
#include "choose.h"

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
