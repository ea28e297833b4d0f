"""Numbers of the kernel's headers that Python's module `socket` has no names for, or not in every version.

They are in <linux/in.h>, <linux/in6.h> and <asm-generic/socket.h>.
"""

import socket

IP_LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
IP_TRANSPARENT = {4: 19, 6: 75}  # IP_TRANSPARENT, IPV6_TRANSPARENT
IP_RECVORIGDSTADDR = {4: 20, 6: 74}  # IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR
IP_BIND_ADDRESS_NO_PORT = 24
SO_MARK = 36
