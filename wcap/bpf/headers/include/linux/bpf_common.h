/* bcc's copy of linux/bpf.h includes this for instruction classes; C programs name none of them. */
