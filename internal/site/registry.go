package site

import (
	"bytes"
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

	seen stamp // of the last text tried, good or bad; used by Watch only
}

// stamp tells two texts apart. Size and time spare the reading; the sum decides.
type stamp struct {
	size    int64
	modTime time.Time
	sum     [sha256.Size]byte
	err     string
}

// Open reads and checks the file at path. The error is Faults when the file can be read but is
// wrong.
func Open(path string, checks ...Check) (*Registry, error) {
	r := &Registry{path: path, checks: checks}
	data, seen, err := r.read()
	if err != nil {
		return nil, err
	}
	r.seen = seen
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

// reload does one look. Polling, because inotify does not see a bind-mounted or network file
// change, nor a ConfigMap's swapped symlink without watching every directory on the way.
func (r *Registry) reload(log *slog.Logger) {
	if info, err := os.Stat(r.path); err == nil && r.seen.err == "" &&
		info.Size() == r.seen.size && info.ModTime().Equal(r.seen.modTime) {
		return
	}
	data, seen, err := r.read()
	unchanged := seen.sum == r.seen.sum && seen.err == r.seen.err
	r.seen = seen
	if unchanged {
		return
	}
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

// read returns the text and its stamp. The stamp is taken from the open file, so that it belongs to
// the text that was read.
func (r *Registry) read() (data []byte, seen stamp, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read sites file: %w", err)
			seen.err = err.Error()
		}
	}()
	f, err := os.Open(r.path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	if info.IsDir() {
		return nil, stamp{}, fmt.Errorf("%s is a directory", r.path)
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, stamp{}, err
	}
	if n > maxFileBytes {
		return nil, stamp{}, fmt.Errorf("%s is larger than %d bytes", r.path, maxFileBytes)
	}
	data = b.Bytes()
	return data, stamp{size: info.Size(), modTime: info.ModTime(), sum: sha256.Sum256(data)}, nil
}
