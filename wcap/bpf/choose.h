/* Whom to record. */
#pragma once
#include "task.h"

#ifdef COMMS
#define CHANGING
#endif

#ifdef COMMS
static __always_inline bool name_matches(const struct name *name)
{
#define X(word0, mask0, word1, mask1)                                                              \
	if ((((name->words[0] ^ word0) & mask0) | ((name->words[1] ^ word1) & mask1)) == 0)        \
		return true;
	COMMS
#undef X
	return false;
}
#endif

static __always_inline bool comm_wanted(u64 pid_tgid)
{
#ifdef COMMS
	struct name name = {};

	bpf_get_current_comm(&name, sizeof(name));
	if (name_matches(&name))
		return true;
#ifdef TASK_GROUP_LEADER_OFFSET
	if ((u32)pid_tgid != pid_tgid >> 32) {
		read_name(&name, group_leader());
		return name_matches(&name);
	}
#endif
	return false;
#else
	return true;
#endif
}

static __always_inline bool is_target(u64 pid_tgid)
{
#ifdef TARGETS
	u32 tgid = pid_tgid >> 32;

	return targets.lookup(&tgid) != NULL;
#else
	return true;
#endif
}

/* Whether the current task is recorded. */
static __always_inline bool wanted(u64 pid_tgid)
{
	u32 tgid = pid_tgid >> 32;

#define X(excluded)                                                                                \
	if (tgid == excluded)                                                                      \
		return false;
	EXCLUDED
#undef X
#ifdef EITHER
	return is_target(pid_tgid) || comm_wanted(pid_tgid);
#else
	return is_target(pid_tgid) && comm_wanted(pid_tgid);
#endif
}


static __always_inline bool fd_wanted(u32 fd)
{
	return true;
}
