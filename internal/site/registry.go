package site

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// maxFileBytes bounds what a reload may read; a thousand sites with ten offers each need less.
const maxFileBytes = 4 << 20

// Check looks at a file that Parse accepted, for what only its user can know: the rules, the keys
// on disk. The file is refused when it returns a fault.
type Check = func(*File) Faults

// Registry is the sites file in force. Its methods are safe for concurrent use and never wait.
type Registry struct {
	path   string
	checks []Check
	file   atomic.Pointer[File]

	// OnReload, when set before Watch, is called by Watch after each changed file: with the file now
	// in force and nil, or with the file that stays in force and why the newer one was refused.
	OnReload func(inForce *File, err error)

	seen look // the last one; used by Watch only
}

// look is what a look at the file found: a text, or why there was none.
type look struct {
	sum [sha256.Size]byte
	err string
}

// Open reads and checks the file at path. The error is Faults when the file can be read but is
// wrong.
func Open(path string, checks ...Check) (*Registry, error) {
	r := &Registry{path: path, checks: checks}
	data, err := r.read()
	if err != nil {
		return nil, err
	}
	r.seen = look{sum: sha256.Sum256(data)}
	f, err := r.parse(data)
	if err != nil {
		return nil, err
	}
	r.file.Store(f)
	return r, nil
}

// File returns the file in force. Take it once per request, so that one answer never mixes two.
func (r *Registry) File() *File { return r.file.Load() }

// Site returns the site with that id, or nil.
func (r *Registry) Site(id string) *Site { return r.File().Site(id) }

// ByOrigin returns the only site that lists the origin, or nil.
func (r *Registry) ByOrigin(origin string) *Site { return r.File().ByOrigin(origin) }

// Watch looks at the file every interval until ctx ends and puts a changed one in force, whole. A
// broken, missing or unreadable one leaves the old in force; each of its faults is logged, once
// per change.
func (r *Registry) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.reload(log)
		}
	}
}

// reload does one look. It polls, because inotify does not see a bind-mounted or network file change.
// It always reads: two writes within one tick of the file system's clock can leave size and time as
// they were, and to hash some kilobytes twice a second costs nothing.
func (r *Registry) reload(log *slog.Logger) {
	data, err := r.read()
	seen := look{sum: sha256.Sum256(data)}
	if err != nil {
		seen.err = err.Error()
	}
	if seen == r.seen {
		return
	}
	r.seen = seen
	var f *File
	if err == nil {
		f, err = r.parse(data)
	}
	if err == nil {
		r.file.Store(f)
		log.Info("sites file reloaded", "file", r.path, "digest", f.Digest, "sites", len(f.Sites))
	} else {
		logFaults(log, r.path, r.File().Digest, err)
	}
	if r.OnReload != nil {
		r.OnReload(r.File(), err)
	}
}

func logFaults(log *slog.Logger, path, inForce string, err error) {
	var faults Faults
	if !errors.As(err, &faults) {
		log.Error("sites file not read, the old one stays", "file", path, "in_force", inForce, "error", err)
		return
	}
	log.Error("sites file refused, the old one stays", "file", path, "in_force", inForce, "faults", len(faults))
	for i := range faults {
		log.Error("sites file fault", "fault", faults[i].Error())
	}
}

func (r *Registry) parse(data []byte) (*File, error) {
	f, err := Parse(r.path, data)
	if err != nil {
		return nil, err
	}
	var faults Faults
	for _, check := range r.checks {
		faults = append(faults, check(f)...)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// read returns the text of the file, bounded, should the path be a mistaken one.
func (r *Registry) read() (data []byte, err error) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil, fmt.Errorf("read sites file: %w", err)
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read sites file: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("read sites file: %s is larger than %d bytes", r.path, maxFileBytes)
	}
	return data, nil
}
