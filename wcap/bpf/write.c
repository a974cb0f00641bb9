/* Records what chosen tasks write: payload at entry, result at exit, or with AT_EXIT both then.
 *
 * A tracepoint of each system call (calls.h) puts its arguments down as a struct call; from there
 * all are alike. route() sees to it that the process and the file descriptor have been described
 * (describe.h), then gather() reads the payload and sends the record. Programs that are too large
 * to be in every tracepoint's are gone on in by tail calls. wcap/recorder/probe.py sets by -D:
 *   CPUS, SNAPLEN, RING_PAGES   sizes
 *   CLOCK                       the helper that reads the capture's clock
 *   PERF                        send through a perf buffer instead of a ring buffer
 *   AT_EXIT                     record calls when they have ended
 *   LOSSLESS                    bytes in the ring buffer from which on writers are stopped
 *   URING                       the kernel has io_uring
 *   TYPED_TASK                  the verifier follows pointers from the current task by BTF
 *   FILES, and names of members where BTF says that structures have them
 * and whom to record, in choose.h.
 */
#include "calls.h"
#include "ends.h"
#include "bypass.h"
#include "processes.h"
