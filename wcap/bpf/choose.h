/* Whom the kernel side records: the conditions of wcap/recorder/choice.py, cheapest first.
 *
 * wanted() answers for the current task, fd_wanted() for a descriptor that it writes to, and
 * brings_children() for who follows a chosen process. These are set by -D, each list as
 * X(value) X(value) ...; each kind but EXCLUDED and TARGETS has a NOT_ form for who is left out:
 *   EXCLUDED     processes (tgid) that are never recorded: the recorder, who reads from it
 *   TARGETS      only processes in `targets`
 *   TIDS         only threads that `numbered` says are chosen; NOT_TIDS and NOT_PIDS likewise
 *   USERS        only real user numbers that match: X(uid)
 *   COMMS        only names that match: X(word, mask, word, mask)
 *   PIDNS        only tasks of these PID namespaces: X(inode), all on the device PIDNS_DEVICE
 *   CGROUPS      only tasks below these cgroups: X(index) of `cgroups`
 *   FDS          only these descriptors: X(fd)
 *   BY_CALL      there are conditions on where a call goes, these or on its target
 *   EITHER       being a target suffices, or else all other conditions on tasks; what is left out
 *                stays out
 *
 * STEADY is defined when the answer of wanted() for a thread does not change while it lives.
 */
#pragma once
#include "state.h"
#include "task.h"

/* What is said of a thread's or process's number; choice.py says it. */
enum numbered {
	THREAD_CHOSEN = 1,
	THREAD_LEFT_OUT = 2,
	PROCESS_LEFT_OUT = 4,
};

#if !defined(COMMS) && !defined(NOT_COMMS) && !defined(USERS) && !defined(NOT_USERS) &&            \
	!defined(CGROUPS) && !defined(NOT_CGROUPS)
#define STEADY
#endif

/* Whether one of a list's values is what X, which its user defines, compares with. */
#define AMONG(list) (false list)

#ifdef TARGETS
/* Whether the children of a target are followed; NULL if the process is none. */
static __always_inline u8 *find_target(u32 tgid)
{
	return targets.lookup(&tgid);
}
#endif

#ifdef NUMBERED
static __always_inline bool is_numbered(u32 number, enum numbered as)
{
	u8 *said = numbered.lookup(&number);

	return said && (*said & as);
}
#endif

#define X(user) || uid == user
#ifdef USERS
static __always_inline bool user_chosen(void)
{
	u32 uid = bpf_get_current_uid_gid();

	return AMONG(USERS);
}
#endif
#ifdef NOT_USERS
static __always_inline bool user_left_out(void)
{
	u32 uid = bpf_get_current_uid_gid();

	return AMONG(NOT_USERS);
}
#endif
#undef X

#define X(word0, mask0, word1, mask1)                                                              \
	|| (((name->words[0] ^ word0) & mask0) | ((name->words[1] ^ word1) & mask1)) == 0
#ifdef COMMS
static __always_inline bool name_chosen(const struct name *name)
{
	return AMONG(COMMS);
}
#endif
#ifdef NOT_COMMS
static __always_inline bool name_left_out(const struct name *name)
{
	return AMONG(NOT_COMMS);
}
#endif
#undef X

#if defined(COMMS) || defined(NOT_COMMS)
/* Whether the thread's name matches, or that of its process's leader. */
static __always_inline bool some_name(bool (*matches)(const struct name *name), u64 pid_tgid)
{
	struct name name = {};

	read_own_name(&name);
	if (matches(&name))
		return true;
#ifdef TASK_GROUP_LEADER_OFFSET
	if ((u32)pid_tgid != pid_tgid >> 32) {
		read_name(&name, group_leader());
		return matches(&name);
	}
#endif
	return false;
}
#endif

#if defined(PIDNS) || defined(NOT_PIDNS)
/* bcc of some distributions does not name this helper: BPF_FUNC_get_ns_current_pid_tgid of
 * include/uapi/linux/bpf.h, since 5.7. It fails in any other namespace than the one asked for. */
struct numbers {
	u32 pid, tgid;
};
static long (*numbers_in)(u64 device, u64 inode, struct numbers *numbers, u32 size) = (void *)120;

static __always_inline bool in_pid_namespace(u64 inode)
{
	struct numbers numbers;

	return numbers_in(PIDNS_DEVICE, inode, &numbers, sizeof(numbers)) == 0;
}
#endif

#ifdef CGROUP_COUNT
static __always_inline bool under_cgroup(u32 index)
{
	return cgroups.check_current_task(index) == 1;
}
#endif

/* Whether all conditions but that of being a target choose the current task. */
static __always_inline bool matches_all(u64 pid_tgid)
{
#ifdef TIDS
	if (!is_numbered(pid_tgid, THREAD_CHOSEN))
		return false;
#endif
#ifdef USERS
	if (!user_chosen())
		return false;
#endif
#ifdef COMMS
	if (!some_name(name_chosen, pid_tgid))
		return false;
#endif
#ifdef PIDNS
#define X(inode) || in_pid_namespace(inode)
	if (!AMONG(PIDNS))
		return false;
#undef X
#endif
#ifdef CGROUPS
#define X(index) || under_cgroup(index)
	if (!AMONG(CGROUPS))
		return false;
#undef X
#endif
	return true;
}

/* Whether the current task has one of the numbers that are left out. */
static __always_inline bool number_left_out(u64 pid_tgid)
{
	u32 tgid = pid_tgid >> 32;

#define X(excluded) || tgid == excluded
	if (AMONG(EXCLUDED))
		return true;
#undef X
#ifdef NOT_TIDS
	if (is_numbered(pid_tgid, THREAD_LEFT_OUT))
		return true;
#endif
#ifdef NOT_PIDS
	if (is_numbered(tgid, PROCESS_LEFT_OUT))
		return true;
#endif
	return false;
}

/* Whether the current task is left out for anything else. */
static __always_inline bool left_out(u64 pid_tgid)
{
#ifdef NOT_USERS
	if (user_left_out())
		return true;
#endif
#ifdef NOT_COMMS
	if (some_name(name_left_out, pid_tgid))
		return true;
#endif
#ifdef NOT_PIDNS
#define X(inode) || in_pid_namespace(inode)
	if (AMONG(NOT_PIDNS))
		return true;
#undef X
#endif
#ifdef NOT_CGROUPS
#define X(index) || under_cgroup(index)
	if (AMONG(NOT_CGROUPS))
		return true;
#undef X
#endif
	return false;
}

static __always_inline bool task_chosen(u64 pid_tgid)
{
#ifdef TARGETS
	bool is_target = find_target(pid_tgid >> 32) != NULL;

#ifdef EITHER
	return is_target || matches_all(pid_tgid);
#else
	return is_target && matches_all(pid_tgid);
#endif
#else
	return matches_all(pid_tgid);
#endif
}

/* Whether the current task is recorded. */
static __always_inline bool wanted(u64 pid_tgid)
{
	return !number_left_out(pid_tgid) && task_chosen(pid_tgid) && !left_out(pid_tgid);
}

/* Whether what the current task writes to this descriptor is recorded. */
static __always_inline bool fd_wanted(u32 fd)
{
#define X(other) || fd == other
#ifdef FDS
	if (!AMONG(FDS))
		return false;
#endif
#ifdef NOT_FDS
	if (AMONG(NOT_FDS))
		return false;
#endif
#undef X
	return true;
}

#ifdef FOLLOW
/* Whether the children that the current task's process has from now on are recorded. Those of a
 * target are even if it is itself left out, now or for good. */
static __always_inline bool brings_children(u64 pid_tgid)
{
	u8 *followed = find_target(pid_tgid >> 32);

#ifdef EITHER
	return followed || wanted(pid_tgid);
#else
	return followed && *followed;
#endif
}
#endif
