/* wcap picks what a kernel can do when it starts, not by version. */
#ifndef WCAP_LINUX_VERSION_H
#define WCAP_LINUX_VERSION_H

#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 8, 0)
#endif

#endif
