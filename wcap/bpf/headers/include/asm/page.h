/* bcc sizes ring buffers in pages; wcap asks for them in units of 4 KiB. */
#ifndef WCAP_ASM_PAGE_H
#define WCAP_ASM_PAGE_H

#define PAGE_SIZE 4096UL

#endif
