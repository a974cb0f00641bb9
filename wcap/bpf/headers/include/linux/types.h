/* The kernel types that bcc's helpers and wcap's program use, on a 64-bit kernel. */
#ifndef WCAP_LINUX_TYPES_H
#define WCAP_LINUX_TYPES_H

typedef unsigned char u8, __u8;
typedef unsigned short u16, __u16;
typedef unsigned int u32, __u32;
typedef unsigned long long u64, __u64;
typedef signed char s8, __s8;
typedef signed short s16, __s16;
typedef signed int s32, __s32;
typedef signed long long s64, __s64;

typedef u64 __aligned_u64 __attribute__((aligned(8)));
typedef u16 __be16, __le16, __sum16;
typedef u32 __be32, __le32, __wsum;
typedef u64 __be64, __le64;

typedef unsigned long size_t;
typedef long ssize_t;
typedef unsigned long uintptr_t;
typedef long long loff_t;
typedef int pid_t;
typedef unsigned int uid_t, gid_t, qid_t;
typedef unsigned short umode_t;
typedef u32 dev_t;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

#define __user
#define __kernel
#define __force
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
