"""Shuts down the connections that a process has accepted on sockets in a directory: cut-connections.py PID DIRECTORY.
Prints how many. Neither end is asked, and the process that listens goes on listening."""

import ctypes
import os
import socket
import sys

PIDFD_OPEN, PIDFD_GETFD = 434, 438
libc = ctypes.CDLL(None, use_errno=True)


def system_call(*words):
    answer = libc.syscall(*words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


pid, directory = int(sys.argv[1]), sys.argv[2]
process = system_call(PIDFD_OPEN, pid, 0)
cut = 0
for name in os.listdir(f"/proc/{pid}/fd"):
    try:
        if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
            continue
        with socket.socket(fileno=system_call(PIDFD_GETFD, process, int(name), 0)) as it:
            if it.family != socket.AF_UNIX or not str(it.getsockname()).startswith(directory):
                continue
            if it.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                continue
            it.shutdown(socket.SHUT_RDWR)
            cut += 1
    except OSError:
        # It was closed in the meantime.
        continue
print(cut)
