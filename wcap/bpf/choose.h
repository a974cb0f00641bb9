/* Whom the kernel side records: the conditions of wcap/recorder/choice.py, cheapest first.
 *
 * wanted() answers for the current task, fd_wanted() for a descriptor that it writes to, and
 * brings_children() for who follows a chosen process. These are set by -D, each list as
 * X(value) X(value) ...:
 *   EXCLUDED          processes (tgid) that are never recorded: the recorder, who reads from it
 *   TARGETS           only processes that find_target() knows ...
 *   COMMS             only names that match: X(word, mask, word, mask) for each pattern
 *   EITHER            ... being a target suffices, or else all other conditions
 *   TASK_*_OFFSET     where BTF says that task_struct has its members
 *
 * bcc rewrites calls of maps in the file that it is given, and not in those that this includes:
 * find_target() is defined there, before this is included.
 *
 * STEADY is defined when the answer of wanted() for a thread does not change while it lives.
 */
#pragma once

#ifndef COMMS
#define STEADY
#endif

#ifdef TASK_GROUP_LEADER_OFFSET
static __always_inline u64 group_leader(void)
{
	u64 task = bpf_get_current_task(), leader = 0;

	bpf_probe_read_kernel(&leader, sizeof(leader), (void *)(task + TASK_GROUP_LEADER_OFFSET));
	return leader;
}

static __always_inline void read_name(struct name *name, u64 task)
{
	bpf_probe_read_kernel(name, sizeof(*name), (void *)(task + TASK_COMM_OFFSET));
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
