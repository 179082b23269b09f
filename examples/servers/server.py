# A server whose connections come over the socket 3, each with the bytes that were read from it. See ../other-languages.ts.
import socket
import threading


def serve(connection, head):
    with connection:
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                return
            head += more
        body = b"Python: " + head.split(b" ")[1]
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
        connection.sendall(answer % (len(body), body))


front = socket.socket(fileno=3)
while True:
    head, fds, flags, _ = socket.recv_fds(front, 65536, 1)
    if not head:
        break  # The front has closed its end.
    assert len(fds) == 1 and not flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC)
    connection = socket.socket(fileno=fds[0])
    # Node made the file non-blocking, for every process that has it.
    connection.setblocking(True)
    threading.Thread(target=serve, args=(connection, head)).start()
