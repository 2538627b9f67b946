package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// A Measurement is what one export took, from the start of its process to its end.
type Measurement struct {
	Name string        `json:"name"`
	Rows int64         `json:"rows"`
	In   int64         `json:"in"`  // bytes of the values
	Out  int64         `json:"out"` // bytes of the files
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
	RSS  int64         `json:"rss"` // the most
}

// A subject is what is measured.
type subject struct {
	name string
	// than is the measurement that it is compared with; "" = none.
	than string
	run  func(ctx context.Context, o options, dir string) (result, error)
}

// A result is what an export made.
type result struct {
	rows, in, out int64
}

// cases are all measurements, in the order of the table.
func cases(o options) ([]subject, error) {
	var all []subject
	for _, f := range []struct{ name, copy, format, compression string }{
		{"Parquet zstd", "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1", "Parquet", "zstd"},
		{"Parquet snappy", "FORMAT parquet, COMPRESSION snappy", "Parquet", "snappy"},
		{"JSONLines gzip", "FORMAT json, COMPRESSION gzip", "JSONLines", "gzip"},
		{"JSONLines", "FORMAT json", "JSONLines", ""},
	} {
		all = append(all,
			subject{name: copyName(f.name), run: copyOf(f.copy)},
			subject{name: "Tranche to File, " + f.name, than: copyName(f.name), run: toFile(f.format, f.compression)},
		)
	}
	if o.to != "" {
		d, err := readPlace(o.to)
		if err != nil {
			return nil, err
		}
		all = append(all, subject{name: d.name(), than: copyName(d.format()), run: d.run})
	}
	return append(all, subject{name: "DuckDB as a source, rows thrown away", run: scan}), nil
}

func copyName(format string) string { return "DuckDB COPY, " + format }

// measure makes the measurement that the options name, in this process.
func measure(ctx context.Context, o options) (Measurement, error) {
	all, err := cases(o)
	if err != nil {
		return Measurement{}, err
	}
	for _, s := range all {
		if s.name == o.child {
			return s.measure(ctx, o)
		}
	}
	return Measurement{}, fmt.Errorf("there is no measurement %q", o.child)
}

func (s subject) measure(ctx context.Context, o options) (_ Measurement, err error) {
	dir, err := os.MkdirTemp(o.dir, "out-")
	if err != nil {
		return Measurement{}, err
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}()
	if o.profile != "" {
		f, err := os.Create(filepath.Join(o.profile, strings.ReplaceAll(s.name, " ", "-")+".pprof"))
		if err != nil {
			return Measurement{}, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return Measurement{}, err
		}
		defer pprof.StopCPUProfile()
	}
	begun := time.Now()
	done, err := s.run(ctx, o, dir)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Name: s.name, Rows: done.rows, In: done.in, Out: done.out, Wall: time.Since(begun)}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return Measurement{}, err
	}
	m.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	m.RSS, err = peak()
	return m, err
}

// peak is the most memory that this program has had. The kernel's rusage has that of the process which started it too.
func peak() (int64, error) {
	body, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10, nil
		}
	}
	return 0, errors.New("the kernel does not tell the most memory that was used")
}

// sizeOf is the length of all files below a folder.
func sizeOf(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
