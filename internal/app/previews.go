package app

import "sync"

// Previews counts those that ask the source at the moment: each is a query that nobody planned for, of whoever has a key. The
// zero value is ready, and a nil one counts nothing.
type Previews struct {
	mu    sync.Mutex
	teams map[int64]int
	all   int
}

// The limits of a process. A preview that comes too soon is refused: it would wait for longer than a request may take.
const (
	previewsPerTeam = 2
	mostPreviews    = 8
)

// begin counts a preview of a team until end, or refuses it.
func (p *Previews) begin(teamID int64) (end func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.teams[teamID] >= previewsPerTeam {
		return nil, tooManyPreviews("Previews of this project are already running. Wait for them to finish.")
	}
	if p.all >= mostPreviews {
		return nil, tooManyPreviews("Too many previews are running. Try again in a few seconds.")
	}
	if p.teams == nil {
		p.teams = make(map[int64]int)
	}
	p.teams[teamID]++
	p.all++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.teams[teamID]--; p.teams[teamID] == 0 {
			delete(p.teams, teamID)
		}
	}), nil
}

func tooManyPreviews(detail string) *Problem {
	return &Problem{Kind: TooMany, Code: "too_many_concurrent_previews", Detail: detail}
}
