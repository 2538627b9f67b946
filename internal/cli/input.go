package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxInput is how many bytes a file may have.
const maxInput = 1 << 20

// readFile reads a file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path)
}

func readAll(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxInput {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxInput)
	}
	return text, nil
}

// readText reads a file that holds one text, such as a secret; - is standard input. Space around it does not count.
func (s *session) readText(path string) (string, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = readAll(s.env.In, "standard input")
	} else {
		text, err = readFile(path)
	}
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(string(text)) == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return strings.TrimSpace(string(text)), nil
}

// confirm asks on a terminal; elsewhere the flag must have answered.
func (s *session) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if s.env.Width(s.env.In) == 0 {
		return usagef("%s Nobody is there to ask: pass --yes", question)
	}
	fmt.Fprintf(s.env.Err, "%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() { // a read from a terminal cannot be interrupted; the process ends soon after
		line, _ := bufio.NewReader(s.env.In).ReadString('\n') // an end of input is a no
		answers <- line
	}()
	select {
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		}
		return exitf(ExitFailure, "nothing was done")
	case <-s.ctx.Done():
		fmt.Fprintln(s.env.Err)
		return s.ctx.Err()
	}
}
