package suppress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"beckon/internal/privacy"
)

const (
	listName = "list"
	lockName = "lock"
	newName  = "list.new"

	// Both services write: a host without a collector has to remember what it read in ClickHouse. So
	// both are members of the folder's group, and nobody else may even read.
	dirMode  = 0o770
	fileMode = 0o660
	others   = 0o007

	pollEvery    = 100 * time.Millisecond
	compactEvery = time.Hour
	lockPatience = 2 * time.Second // others hold it for one write; a shopper waits no longer
	lockRetry    = 5 * time.Millisecond

	// The file is written anew when it has this much that is of no use.
	spareLines = 1000
)

// Follow reads what other processes of the host write, writes what the disk still owes, and drops what
// has expired, until ctx ends.
func (l *List) Follow(ctx context.Context) error {
	compacted := l.Now()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
		err := l.look()
		if err == nil && l.Now().Sub(compacted) > compactEvery {
			compacted = l.Now()
			l.io.Lock()
			err = l.compact()
			l.io.Unlock()
		}
		if err != nil && !failing {
			l.Log.Error("the list of suppressed visitors is not in order; what is known stays in force", "error", err)
		}
		if err == nil && failing {
			l.Log.Info("the list of suppressed visitors is in order again")
		}
		failing = err != nil
		l.metrics.fail(failing)
	}
}

// Err says why other processes may not hear of a no, nor this one of theirs: the readiness of a list.
func (l *List) Err() error {
	if l.metrics.failing.Load() {
		return errors.New("the list of suppressed visitors cannot be kept, see the log")
	}
	return nil
}

// look reads what was appended. A file that is not the one of the last look, or shorter, and anything
// owed, need the lock.
func (l *List) look() error {
	l.io.Lock()
	defer l.io.Unlock()
	info, err := os.Stat(filepath.Join(l.dir, listName))
	if err == nil && l.isCurrent(info) && !l.unsynced && !l.owesAny() {
		if err := checkMode(info); err != nil {
			return err
		}
		return l.read(info.Size())
	}
	return l.flush()
}

func (l *List) owesAny() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.owed) > 0
}

// isCurrent reports whether info is of the file that is open, and that is no shorter than it was.
func (l *List) isCurrent(info fs.FileInfo) bool {
	if l.file == nil {
		return false
	}
	mine, err := l.file.Stat()
	return err == nil && os.SameFile(info, mine) && info.Size() >= l.next
}

// flush brings the file and this process to know the same: it reads what others wrote, then writes what
// is owed. Only then is anything no longer owed. io is held.
func (l *List) flush() (err error) {
	l.flushes.Add(1)
	defer func() { l.result = err }()
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.catchUp(); err != nil {
		return err
	}
	if l.unsynced {
		return l.rewrite()
	}
	var text []byte
	if l.torn {
		text = append(text, '\n') // ends what a crash left, so that it takes none of ours with it
	}
	keys, entries := l.debts()
	for _, e := range entries {
		text = appendLine(text, e)
	}
	if len(entries) > 0 {
		if _, err := l.write(l.file, text); err != nil {
			return fmt.Errorf("append to the list: %w", err)
		}
	}
	if err := l.sync(l.file); err != nil {
		l.unsynced = true
		return fmt.Errorf("sync the list: %w", err)
	}
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("stat the list: %w", err)
	}
	if err := l.read(info.Size()); err != nil {
		return err
	}
	return l.paid(keys)
}

// debts returns what is owed, and of it what the file does not have.
func (l *List) debts() (keys []privacy.ID, entries []Entry) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for key := range l.owed {
		keys = append(keys, key)
		if m := l.marks[key]; !m.kept {
			entries = append(entries, Entry{key, m.cause, m.at()})
		}
	}
	return keys, entries
}

// paid notes that keys are on disk, after they were read from there.
func (l *List) paid(keys []privacy.ID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		if m, ok := l.marks[key]; ok && !m.kept {
			return errors.New("the list does not hold what was written to it")
		}
		delete(l.owed, key)
	}
	return nil
}

// catchUp opens the file that is there now and reads what is new in it. In a file that is another one,
// or was cut, everything is new, and what this process knows beyond it is owed to it. The lock is held.
func (l *List) catchUp() error {
	path := filepath.Join(l.dir, listName)
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stat the list: %w", err)
	}
	if err == nil {
		if err := checkMode(info); err != nil {
			return err
		}
	}
	again := err != nil || !l.isCurrent(info)
	if again {
		if err := l.open(path, err == nil); err != nil {
			return err
		}
		if info, err = l.file.Stat(); err != nil {
			return fmt.Errorf("stat the list: %w", err)
		}
	}
	if err := l.read(info.Size()); err != nil {
		return err
	}
	if again {
		l.oweMissing()
	}
	return nil
}

// open opens the file, or makes it, and forgets what was known of the one before.
func (l *List) open(path string, exists bool) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("open the list (both services have to be members of its group): %w", err)
	}
	if !exists {
		if err := errors.Join(f.Chmod(fileMode), syncDir(l.dir)); err != nil { // a umask would shut the group out
			f.Close()
			return fmt.Errorf("make the list: %w", err)
		}
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.next, l.lines, l.torn = f, 0, 0, false
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, m := range l.marks {
		m.kept = false
		l.marks[key] = m
	}
	return nil
}

func (l *List) oweMissing() {
	now := l.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, m := range l.marks {
		if !m.kept && m.expires().After(now) {
			l.owed[key] = struct{}{}
		}
	}
}

// read puts in force what stands between next and size, line by line.
func (l *List) read(size int64) error {
	if size <= l.next {
		l.torn = false
		return nil
	}
	r := bufio.NewReaderSize(io.NewSectionReader(l.file, l.next, size-l.next), 64<<10)
	var batch []Entry
	var long bool // inside a line that is too long to be one
	defer func() { l.took(batch) }()
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			l.next += int64(len(line))
			long = true
			continue
		case errors.Is(err, io.EOF):
			l.torn = len(line) > 0 || long
			return nil
		case err != nil:
			return fmt.Errorf("read the list: %w", err)
		}
		l.next += int64(len(line))
		l.lines++
		e, ok := parseLine(line[:len(line)-1])
		if !ok || long || len(line) > maxLineBytes {
			long = false
			l.metrics.damaged.Inc()
			continue
		}
		if batch = append(batch, e); len(batch) == 1024 {
			l.took(batch)
			batch = batch[:0]
		}
	}
}

func (l *List) took(batch []Entry) {
	news, err := l.enter(batch, false)
	if err != nil {
		l.Log.Error("entries of the list were left out", "error", err)
	}
	l.tell(news)
}

// compact drops what has expired, and writes the file anew when most of it is of no use. io is held.
func (l *List) compact() error {
	left := l.forget()
	if l.lines <= 2*left+spareLines {
		return nil
	}
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.catchUp(); err != nil {
		return err
	}
	return l.rewrite()
}

// rewrite puts a file in place that holds everything that is in force, oldest first. The lock and io are
// held, and the file was read to its end.
func (l *List) rewrite() error {
	l.mu.RLock()
	entries := make([]Entry, 0, len(l.marks))
	for key, m := range l.marks {
		entries = append(entries, Entry{key, m.cause, m.at()})
	}
	l.mu.RUnlock()
	slices.SortFunc(entries, func(a, b Entry) int { return a.At.Compare(b.At) })

	name := filepath.Join(l.dir, newName)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("write the list anew: %w", err)
	}
	err = func() error {
		defer f.Close()
		if err := f.Chmod(fileMode); err != nil {
			return err
		}
		var text []byte
		for len(entries) > 0 {
			n := min(len(entries), 1024)
			text = text[:0]
			for _, e := range entries[:n] {
				text = appendLine(text, e)
			}
			if _, err := l.write(f, text); err != nil {
				return err
			}
			entries = entries[n:]
		}
		return l.sync(f)
	}()
	if err == nil {
		err = errors.Join(os.Rename(name, filepath.Join(l.dir, listName)), syncDir(l.dir))
	}
	if err != nil {
		return fmt.Errorf("write the list anew: %w", err)
	}
	l.unsynced = false
	if err := l.catchUp(); err != nil {
		return err
	}
	l.mu.RLock()
	var keys []privacy.ID
	for key := range l.owed {
		if l.marks[key].kept {
			keys = append(keys, key)
		}
	}
	l.mu.RUnlock()
	return l.paid(keys)
}

// lock keeps other processes from writing. It has a file of its own, since the list is replaced at times.
func (l *List) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock the list (both services have to be members of its group): %w", err)
	}
	_ = f.Chmod(fileMode) // only its owner may; by then it is right
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockRetry) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("lock the list, which another process holds: %w", err)
		}
	}
}

// makeDir makes the folder when it is missing and refuses one that is not safe.
func makeDir(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if err == nil {
		err = os.Chmod(dir, dirMode|fs.ModeSetgid) // so that files of either service are the group's
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of suppressed visitors: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open the folder of suppressed visitors: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	if perm := info.Mode().Perm(); perm&others != 0 {
		return fmt.Errorf("folder %s: permissions %#o let everybody in: run `chmod 2770 %s`", dir, perm, dir)
	}
	return nil
}

func checkMode(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("the list is not a regular file")
	}
	if perm := info.Mode().Perm(); perm&others != 0 {
		return fmt.Errorf("the list: permissions %#o let everybody in: run `chmod 0660`", perm)
	}
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
