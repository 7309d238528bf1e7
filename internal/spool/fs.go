package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
)

// FS is what the spool needs from a file system. It is small so that a test can put one in its place
// that runs out of space, breaks, or loses power. Names are full paths.
type FS interface {
	MkdirAll(dir string) error
	// Lock opens or creates a file and takes it for this process until it is closed; ErrLocked when
	// another one has it.
	Lock(name string) (File, error)
	Create(name string) (File, error) // refuses an existing file
	Open(name string) (File, error)
	Remove(name string) error
	Rename(from, to string) error
	ReadDir(dir string) ([]string, error)            // base names
	SyncDir(dir string) error                        // makes creations, renames and removals in dir durable
	Space(dir string) (free, total int64, err error) // bytes of the disk that dir is on; free for this user
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// ErrLocked is the error of FS.Lock for a file that another process holds.
var ErrLocked = errors.New("locked by another process")

// Disk is the machine's own file system, the default of Options.FS.
var Disk FS = osFS{}

// osFS is the machine's own file system. Only the service's user may read a spool.
type osFS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (osFS) Lock(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("flock %s: %w", name, err)
	}
	return osFile{f}, nil
}

func (osFS) Create(name string) (File, error) { return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL) }
func (osFS) Open(name string) (File, error)   { return openOS(name, os.O_RDWR) }
func (osFS) Remove(name string) error         { return os.Remove(name) }
func (osFS) Rename(from, to string) error     { return os.Rename(from, to) }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) ReadDir(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (osFS) Space(dir string) (free, total int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// noSpace reports whether a write failed because the disk, or our share of it, is full.
func noSpace(err error) bool {
	return isAny(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, io.ErrShortWrite)
}

// noRoom reports whether something failed for want of what comes back: space, file descriptors, memory.
// Whatever else goes wrong on a write is a failing disk.
func noRoom(err error) bool {
	return noSpace(err) || isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}

// readFile reads a whole file, into the room of a slice that is not needed any more when that is large enough.
func readFile(fsys FS, name string, room []byte) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := slices.Grow(room[:0], int(size))[:size]
	if n, err := f.ReadAt(data, 0); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, fmt.Errorf("read %s: %d of %d bytes: %w", name, n, size, err)
	}
	return data, nil
}

// readSealed reads the file of a sealed segment, as readFile does.
func readSealed(fsys FS, name string, room []byte) ([]byte, error) {
	data, err := readFile(fsys, name, room)
	if isAny(err, unreadable...) {
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return data, err
}

// unreadable is how a disk says that it has lost what it was given. Whatever else goes wrong on a read may pass.
var unreadable = []error{syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN, syscall.ENOENT, io.EOF}

// readPieces reads what can be read of a file of so many bytes; the rest is zeros.
func readPieces(fsys FS, name string, size int64) ([]byte, error) {
	data := make([]byte, size)
	f, err := fsys.Open(name)
	if isAny(err, unreadable...) {
		return data, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	const piece = 4096 // of a file system, and of most disks
	for at := int64(0); at < size; at += piece {
		p := data[at:min(at+piece, size)]
		if n, err := f.ReadAt(p, at); isAny(err, unreadable...) {
			clear(p[n:])
		} else if err != nil {
			return nil, err
		}
	}
	return data, nil
}

// writeAt writes all of data at offset; what the file system kept to itself is an error.
func writeAt(f File, data []byte, offset int64) error {
	n, err := f.WriteAt(data, offset)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return err
}
