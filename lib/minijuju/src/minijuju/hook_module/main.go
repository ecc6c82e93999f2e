// Passes one hook command to the controller; minijuju.hooks.tools says how.
//
// A charm makes a handful of calls in every hook, so a call must be cheap: system calls and
// nothing of Go's network, which takes longer to be made ready than the call itself.
package main

import (
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	name := os.Args[0][strings.LastIndex(os.Args[0], "/")+1:]
	address, context := os.Getenv("JUJU_AGENT_SOCKET_ADDRESS"), os.Getenv("JUJU_CONTEXT_ID")
	if address == "" || context == "" {
		fail(name + " works only inside a hook: JUJU_CONTEXT_ID is not set")
	}
	arguments, input := resolved(name, os.Args[1:])
	message := binary.BigEndian.AppendUint32(nil, uint32(3+len(arguments)))
	message = appended(message, []byte(context))
	message = appended(message, input)
	message = appended(message, []byte(name))
	for _, argument := range arguments {
		message = appended(message, []byte(argument))
	}
	connection, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Connect(connection, &syscall.SockaddrUnix{Name: address})
	}
	if err == nil {
		err = sent(connection, message)
	}
	if err != nil {
		fail("cannot reach the controller: " + err.Error())
	}
	fields := make([][]byte, binary.BigEndian.Uint32(received(connection, 4)))
	for index := range fields {
		fields[index] = received(connection, int(binary.BigEndian.Uint32(received(connection, 4))))
	}
	if len(fields) != 3 {
		fail("the controller's answer is not understood")
	}
	code, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		fail("the controller's answer is not understood")
	}
	os.Stdout.Write(fields[1])
	os.Stderr.Write(fields[2])
	os.Exit(code)
}

// resolved puts the contents of files in place of their names: the controller sees no files here.
func resolved(name string, arguments []string) ([]string, []byte) {
	var input []byte
	for index, argument := range arguments {
		if argument == "--" {
			break
		}
		key, path, marked := strings.Cut(argument, "#file=")
		if (name == "secret-add" || name == "secret-set") && marked && !strings.Contains(key, "=") {
			arguments[index] = key + "=" + string(content(path))
		} else if argument == "--file" && index+1 < len(arguments) {
			input = content(arguments[index+1])
		} else if strings.HasPrefix(argument, "--file=") {
			input = content(argument[len("--file="):])
		}
	}
	return arguments, input
}

func content(path string) []byte {
	var read []byte
	var err error
	if path == "-" {
		read, err = io.ReadAll(os.Stdin)
	} else {
		read, err = os.ReadFile(path)
	}
	if err != nil {
		fail("cannot read " + path + ": " + err.Error())
	}
	return read
}

func appended(message, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(message, uint32(len(field))), field...)
}

func sent(connection int, message []byte) error {
	for len(message) > 0 {
		count, err := syscall.Write(connection, message)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		message = message[count:]
	}
	return nil
}

func received(connection, size int) []byte {
	field := make([]byte, size)
	for filled := 0; filled < size; {
		count, err := syscall.Read(connection, field[filled:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || count == 0 {
			fail("the controller went away")
		}
		filled += count
	}
	return field
}

func fail(message string) {
	os.Stderr.WriteString("ERROR " + message + "\n")
	os.Exit(1)
}
