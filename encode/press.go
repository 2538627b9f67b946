package encode

// pressWidth is how many jobs of one file are under way at once. It is the same on every machine: what is known of a
// file's size, and so where the next file begins, does not depend on how many processors there are.
const pressWidth = 4

// A press does the heavy work of one file, compression, on other goroutines, and takes it back in the order in which it
// was given. All methods are called on the goroutine that writes the file.
type press struct {
	pending []*pressed // the oldest first
}

// pressed is one job.
type pressed struct {
	done   chan struct{} // closed when the work is done
	finish func() error  // runs where the file is written
	panic  any           // what the work panicked with
}

// add starts work, after waiting for the oldest job if there are enough. finish follows, in order, when it is done.
func (p *press) add(work func(), finish func() error) error {
	if err := p.drain(pressWidth - 1); err != nil {
		return err
	}
	job := &pressed{done: make(chan struct{}), finish: finish}
	p.pending = append(p.pending, job)
	go func() {
		defer close(job.done)
		defer func() { job.panic = recover() }()
		work()
	}()
	return nil
}

// drain waits until at most so many jobs are left. A job's panic goes on here, where it can be recovered from.
func (p *press) drain(most int) error {
	for len(p.pending) > most {
		job := p.pending[0]
		<-job.done
		p.pending[0] = nil
		p.pending = p.pending[1:]
		if job.panic != nil {
			panic(job.panic)
		}
		if err := job.finish(); err != nil {
			return err
		}
	}
	return nil
}

// last returns what is closed when the job that was added last is done; nil = none is under way.
func (p *press) last() <-chan struct{} {
	if len(p.pending) == 0 {
		return nil
	}
	return p.pending[len(p.pending)-1].done
}

// discard waits for all jobs and forgets them.
func (p *press) discard() {
	for _, job := range p.pending {
		<-job.done
	}
	p.pending = nil
}
