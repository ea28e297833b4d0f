#!/bin/sh
# usage: tls-half-close.sh PEER   hitch (stunnel4 for comparison): a TLS client ends its direction by close_notify, and reads on; and a
#                                 server ends its direction, while the client sends on
#
# Expected: the client gets "the answer", twice, and the server gets "hello and more" the second time.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
start "$1"
ends server server 203.0.113.20 8080 late early >server.log 2>&1 &
until_listening server 8080
cat >client.py <<'END'
import contextlib, socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
raw = socket.create_connection(("192.0.2.80", 80))
raw.settimeout(5)
taken, given = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(taken, given)

def until_done(step):
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            raw.sendall(given.read())
            if data := raw.recv(65536):
                taken.write(data)
            else:
                taken.write_eof()

def rest():
    data = b""
    with contextlib.suppress(ssl.SSLZeroReturnError):
        while part := until_done(lambda: tls.read(1000)):
            data += part
    return data

def end():
    with contextlib.suppress(ssl.SSLError):
        tls.unwrap()
    raw.sendall(given.read())

try:
    until_done(tls.do_handshake)
    tls.write(b"hello")
    raw.sendall(given.read())
    if sys.argv[1] == "ends":
        end()
        print("client: the answer:", rest())
    else:
        print("client: the answer:", rest())
        tls.write(b" and more")
        end()
except OSError as error:
    print("client:", error)
END
for what in ends goes-on; do
	echo "== the client $what"
	: >server.log
	in_ client /usr/bin/python3 client.py $what
	until_ grep "client's side" server.log || true
	cat server.log
done
