/* The first file that bcc includes. Stands in for a kernel's own configuration. */
#ifndef WCAP_LINUX_KCONFIG_H
#define WCAP_LINUX_KCONFIG_H

#define CONFIG_BPF_SYSCALL 1

#include <linux/types.h>

#endif
