package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return text, nil
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
