// Package testprocess starts the programs that tests need, so that none outlives its test.
package testprocess

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const pollEvery = 10 * time.Millisecond

// A Process is a child of ours. The kernel ends it when we die.
type Process struct {
	Command *exec.Cmd

	ended chan struct{}
}

// Start starts the command. Attributes that it has already stay; without a signal for our death it gets SIGKILL.
//
// The kernel takes the death of the thread that started a process for the death of its parent, so one thread lives as
// long as the process does.
func Start(c *exec.Cmd) (*Process, error) {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	if c.SysProcAttr.Pdeathsig == 0 {
		c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	p := &Process{Command: c, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // the command's state says how it ended
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended is closed when the process has ended and all its output is there.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process as a power cut would, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.Command.Process.Kill() // fails when it has ended, which is what we want
	<-p.ended
}

// Stop asks for an end, and kills what has not followed after the time.
func (p *Process) Stop(ask syscall.Signal, after time.Duration) {
	_ = p.Command.Process.Signal(ask) // fails when it has ended, which is what we want
	select {
	case <-p.ended:
	case <-time.After(after):
		p.Kill()
	}
}

// Await returns when the process is ready, has ended, or takes too long.
func (p *Process) Await(ready func() bool, within time.Duration) error {
	deadline := time.After(within)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.ended:
			return errors.New("the server ended")
		case <-deadline:
			return errors.New("the server does not answer")
		case <-tick.C:
		}
	}
	return nil
}

// FreePort is one on which nobody listens now.
func FreePort() (int, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
