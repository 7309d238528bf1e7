package daykey

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	suffix   = ".key"
	newMark  = ".new-" // what unfinished files begin with
)

// A key's file, and a key on its way from host to host, big endian. The check is CRC32C over the site's id and
// everything before it: a file that was cut, or copied to the name of another site or day, is no key.
//
//	 0         8        16       48      52
//	+---------+--------+--------+-------+
//	|"BKDAY\1"|  day   |  key   | check |
//	+---------+--------+--------+-------+
const (
	magic       = "BKDAY\x00\x00\x01"
	dayAt       = 8
	keyAt       = 16
	checkAt     = 48
	recordBytes = 52
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is a key with what it belongs to. It lives for one call and is overwritten at its end.
type record struct {
	b    [recordBytes]byte
	file *fileID // of the file that it was read from
}

func (r *record) key() []byte { return r.b[keyAt:checkAt] }

func (r *record) wipe() { clear(r.b[:]) }

func (r *record) seal(site string, day Day) {
	copy(r.b[:], magic)
	binary.BigEndian.PutUint64(r.b[dayAt:], uint64(day))
	binary.BigEndian.PutUint32(r.b[checkAt:], r.sum(site))
}

func (r *record) sum(site string) uint32 {
	return crc32.Update(crc32.Checksum([]byte(site), castagnoli), castagnoli, r.b[:checkAt])
}

// check refuses what is no key of that site and day. A key of zeros is what a lost page leaves.
func (r *record) check(site string, day Day) error {
	switch {
	case string(r.b[:dayAt]) != magic:
		return errors.New("is no day key of this version")
	case binary.BigEndian.Uint32(r.b[checkAt:]) != r.sum(site), binary.BigEndian.Uint64(r.b[dayAt:]) != uint64(day):
		return errors.New("is damaged, or the key of another site or day: it is not used and not replaced, because another collector may have read it while it was whole; remove it to begin the day anew")
	case bytes.Count(r.key(), []byte{0}) == len(r.key()):
		return errors.New("is all zeros")
	}
	return nil
}

// fileID tells whether a name still means the file that was read.
type fileID struct{ info fs.FileInfo }

func (f *fileID) is(info fs.FileInfo) bool {
	return os.SameFile(f.info, info) && f.info.ModTime().Equal(info.ModTime()) && f.info.Size() == info.Size()
}

func fileName(site string, day Day) string { return site + "." + day.String() + suffix }

func parseName(name string) (site string, day Day, ok bool) {
	rest, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return "", 0, false
	}
	site, date, ok := strings.Cut(rest, ".")
	if !ok {
		return "", 0, false
	}
	t, err := time.Parse(time.DateOnly, date)
	return site, DayOf(t.UnixMilli()), err == nil
}

func isUnfinished(name string) bool { return strings.HasPrefix(name, newMark) }

// folder is the files.
type folder struct{ dir string }

// check makes the folder when it is missing, and refuses one in which others could plant keys.
func (f folder) check() error {
	if err := os.MkdirAll(f.dir, dirMode); err != nil {
		return fmt.Errorf("make folder for day keys: %w", err)
	}
	info, err := os.Lstat(f.dir)
	if err != nil {
		return fmt.Errorf("open folder for day keys: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("folder for day keys %s is not a folder", f.dir)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() && owner.Uid != 0 {
		return fmt.Errorf("folder for day keys %s belongs to user %d, who could plant keys: name another, or remove it", f.dir, owner.Uid)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("folder for day keys %s: permissions %#o let others plant keys: run `chmod 0700 %s`", f.dir, perm, f.dir)
	}
	return nil
}

// list returns everything in the folder that is ours to look after. A folder that was removed is made
// again.
func (f folder) list() (map[string]fs.FileInfo, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.check(); err == nil {
			return map[string]fs.FileInfo{}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list day keys: %w", err)
	}
	files := make(map[string]fs.FileInfo, len(entries))
	for _, entry := range entries {
		if _, _, ok := parseName(entry.Name()); !ok && !isUnfinished(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil { // removed meanwhile
			continue
		}
		files[entry.Name()] = info
	}
	return files, nil
}

// look is list for a few names.
func (f folder) look(names ...string) map[string]fs.FileInfo {
	files := make(map[string]fs.FileInfo, len(names))
	for _, name := range names {
		if info, err := os.Lstat(f.path(name)); err == nil {
			files[name] = info
		}
	}
	return files
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// read reads a key's file; check has to follow.
func (f folder) read(name string, r *record) error {
	file, err := os.OpenFile(f.path(name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open day key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("stat day key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() != recordBytes {
		return fmt.Errorf("day key %s: is no file of %d bytes: it is not used and not replaced; remove it to begin the day anew", name, recordBytes)
	}
	if perm := info.Mode().Perm(); perm&^fileMode != 0 {
		return fmt.Errorf("day key %s: permissions %#o let others use it: remove it", name, perm)
	}
	if _, err := io.ReadFull(file, r.b[:]); err != nil {
		return fmt.Errorf("read day key: %w", err)
	}
	r.file = &fileID{info}
	return nil
}

// make creates a day's key. When another process was faster, its key is read instead.
func (f folder) make(name string, r *record) error {
	site, day, ok := parseName(name)
	if !ok {
		panic("BUG: no name of a day key")
	}
	_, _ = rand.Read(r.key()) // never fails: it ends the program instead
	r.seal(site, day)
	err := f.put(name, r, os.Link)
	if errors.Is(err, fs.ErrExist) {
		r.wipe()
		return f.read(name, r)
	}
	return err
}

// replace puts a key that another host made in the place of whatever is there.
func (f folder) replace(name string, r *record) error { return f.put(name, r, os.Rename) }

// put writes a file of its own and gives it its name when it is whole: by os.Link, which refuses a name
// that is taken as O_EXCL does, or by os.Rename. A process that dies before leaves an unfinished file.
func (f folder) put(name string, r *record, as func(from, to string) error) (err error) {
	var chance [8]byte
	_, _ = rand.Read(chance[:])
	part := f.path(newMark + hex.EncodeToString(chance[:]))
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("make day key: %w", err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if gone := os.Remove(part); gone != nil && !errors.Is(gone, fs.ErrNotExist) { // renamed
			err = errors.Join(err, gone)
		}
	}()
	if _, err := file.Write(r.b[:]); err != nil {
		return fmt.Errorf("write day key: %w", err)
	}
	if err := file.Sync(); err != nil { // costs nothing on a tmpfs; on a disk a name never stands for half a key
		return fmt.Errorf("write day key: %w", err)
	}
	if err := as(part, f.path(name)); err != nil {
		return fmt.Errorf("name day key: %w", err)
	}
	info, err := os.Lstat(f.path(name))
	if err != nil {
		return fmt.Errorf("stat day key: %w", err)
	}
	r.file = &fileID{info}
	return nil
}

// destroy overwrites a file and removes it. An unfinished one whose maker died right after it had named it has
// two names: then it is the key in use, and only the name goes.
func (f folder) destroy(name string) error {
	file, err := os.OpenFile(f.path(name), os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err == nil {
		info, fault := file.Stat()
		if fault == nil && (!isUnfinished(name) || links(info) == 1) {
			var zeros [recordBytes]byte
			_, fault = file.WriteAt(zeros[:], 0)
			fault = errors.Join(fault, file.Sync())
		}
		err = errors.Join(fault, file.Close())
	}
	// Whatever came of that, the name goes.
	if gone := os.Remove(f.path(name)); gone != nil {
		return fmt.Errorf("destroy day key: %w", errors.Join(gone, err))
	}
	return nil
}

// links is how many names a file has; 2, which is careful, when that is not told.
func links(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 2
}
