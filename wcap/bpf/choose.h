/* Whom the kernel side records: the conditions of wcap/recorder/choice.py, cheapest first.
 *
 * wanted() answers for the current task, fd_wanted() for a descriptor that it writes to, and
 * brings_children() for who follows a chosen process. These are set by -D, each list as
 * X(value) X(value) ...:
 *   EXCLUDED          processes (tgid) that are never recorded: the recorder, who reads from it
 *   TARGETS           only processes in `targets` ...
 *   COMMS             only names that match: X(word, mask, word, mask) for each pattern
 *   EITHER            ... being a target suffices, or else all other conditions
 *   TASK_*_OFFSET     where BTF says that task_struct has its members
 *
 * STEADY is defined when the answer of wanted() for a thread does not change while it lives.
 */
#pragma once
#include "state.h"
#include "task.h"

#ifndef COMMS
#define STEADY
#endif

#ifdef TARGETS
/* Whether the children of a target are followed; NULL if the process is none. */
static __always_inline u8 *find_target(u32 tgid)
{
	return targets.lookup(&tgid);
}
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

	read_own_name(&name);
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
	return find_target(pid_tgid >> 32) != NULL;
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

/* Whether what the current task writes to this descriptor is recorded. */
static __always_inline bool fd_wanted(u32 fd)
{
	return true;
}

#ifdef FOLLOW
/* Whether the children that the current task's process has from now on are recorded. */
static __always_inline bool brings_children(u64 pid_tgid)
{
#ifdef EITHER
	return is_target(pid_tgid) || wanted(pid_tgid);
#else
	u8 *followed = find_target(pid_tgid >> 32);

	return followed && *followed;
#endif
}
#endif
