// A server whose connections come over the socket 3, each with the bytes that were read from it. See ../other-languages.ts.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

func main() {
	conn, err := net.FileConn(os.NewFile(3, "front"))
	if err != nil {
		panic(err)
	}
	front := conn.(*net.UnixConn)
	data, control := make([]byte, 65536), make([]byte, syscall.CmsgSpace(4))
	for {
		n, controlled, flags, _, err := front.ReadMsgUnix(data, control)
		if err != nil || n == 0 {
			return // The front has closed its end.
		}
		messages, err := syscall.ParseSocketControlMessage(control[:controlled])
		if err != nil || len(messages) != 1 || flags&(syscall.MSG_CTRUNC|syscall.MSG_TRUNC) != 0 {
			panic("expected one connection in each message")
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil {
			panic(err)
		}
		file := os.NewFile(uintptr(fds[0]), "connection")
		connection, err := net.FileConn(file) // a duplicate
		file.Close()
		if err != nil {
			panic(err)
		}
		go serve(connection, bytes.NewReader(append([]byte(nil), data[:n]...)))
	}
}

func serve(connection net.Conn, head io.Reader) {
	defer connection.Close()
	request, err := http.ReadRequest(bufio.NewReader(io.MultiReader(head, connection)))
	if err != nil {
		return
	}
	body := "Go: " + request.URL.Path
	fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
