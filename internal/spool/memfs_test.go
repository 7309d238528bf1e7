package spool

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// memFS is a file system in memory that keeps apart what was written and what was synced: contents by
// File.Sync, names by SyncDir. It can run out of space, break, and lose power.
type memFS struct {
	mu      sync.Mutex
	names   map[string]*memNode // what the process sees
	durable map[string]*memNode // what survives
	locked  map[*memNode]bool
	free    int64                       // bytes; negative: without bound
	fault   func(op, name string) error // asked before each operation
	dead    bool                        // after a power loss nothing works
	ops     []string
}

type memNode struct {
	data   []byte
	synced []byte
	dirty  bool
	from   int // while dirty: where the first byte is that differs
}

func (n *memNode) touch(at int64) {
	if !n.dirty || int(at) < n.from {
		n.from = int(at)
	}
	n.dirty = true
}

func newMemFS() *memFS {
	return &memFS{names: map[string]*memNode{}, durable: map[string]*memNode{}, locked: map[*memNode]bool{}, free: -1}
}

var errPower = errors.New("power lost")

// begin locks the file system and asks for a fault; the caller unlocks.
func (m *memFS) begin(op, name string) error {
	m.mu.Lock()
	if m.dead {
		return errPower
	}
	m.ops = append(m.ops, op+" "+filepath.Base(name))
	if m.fault != nil {
		return m.fault(op, name)
	}
	return nil
}

// did returns what was asked of m since the last forget.
func (m *memFS) did() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ops)
}

// forget begins a new list for did.
func (m *memFS) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops = nil
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) Lock(name string) (File, error) {
	defer m.mu.Unlock()
	if err := m.begin("lock", name); err != nil {
		return nil, err
	}
	n := m.names[name]
	if n == nil {
		n = &memNode{}
		m.names[name] = n
	}
	if m.locked[n] {
		return nil, ErrLocked
	}
	m.locked[n] = true
	return &memFile{m, n, name}, nil
}

func (m *memFS) Create(name string) (File, error) {
	defer m.mu.Unlock()
	if err := m.begin("create", name); err != nil {
		return nil, err
	}
	if m.names[name] != nil {
		return nil, os.ErrExist
	}
	n := &memNode{}
	m.names[name] = n
	return &memFile{m, n, name}, nil
}

func (m *memFS) Open(name string) (File, error) {
	defer m.mu.Unlock()
	if err := m.begin("open", name); err != nil {
		return nil, err
	}
	n := m.names[name]
	if n == nil {
		return nil, os.ErrNotExist
	}
	return &memFile{m, n, name}, nil
}

func (m *memFS) Remove(name string) error {
	defer m.mu.Unlock()
	if err := m.begin("remove", name); err != nil {
		return err
	}
	n := m.names[name]
	if n == nil {
		return os.ErrNotExist
	}
	m.giveBack(int64(len(n.data)))
	delete(m.names, name)
	return nil
}

func (m *memFS) Rename(from, to string) error {
	defer m.mu.Unlock()
	if err := m.begin("rename", from); err != nil {
		return err
	}
	n := m.names[from]
	if n == nil {
		return os.ErrNotExist
	}
	if old := m.names[to]; old != nil {
		m.giveBack(int64(len(old.data)))
	}
	delete(m.names, from)
	m.names[to] = n
	return nil
}

func (m *memFS) ReadDir(dir string) ([]string, error) {
	defer m.mu.Unlock()
	if err := m.begin("readdir", dir); err != nil {
		return nil, err
	}
	var names []string
	for name := range m.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

func (m *memFS) SyncDir(dir string) error {
	defer m.mu.Unlock()
	if err := m.begin("syncdir", dir); err != nil {
		return err
	}
	clear(m.durable)
	for name, n := range m.names {
		m.durable[name] = n
	}
	return nil
}

func (m *memFS) Space(dir string) (free, total int64, err error) {
	defer m.mu.Unlock()
	if err := m.begin("space", dir); err != nil {
		return 0, 0, err
	}
	if m.free < 0 {
		return 1 << 60, 1 << 60, nil
	}
	return m.free, memDisk, nil
}

const memDisk = 20 << 20 // bytes of a disk with a bound

func (m *memFS) giveBack(n int64) {
	if m.free >= 0 {
		m.free += n
	}
}

type memFile struct {
	fs   *memFS
	node *memNode
	name string
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	defer f.fs.mu.Unlock()
	if err := f.fs.begin("read", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes what fits, like a disk that fills up in the middle.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	defer f.fs.mu.Unlock()
	if err := f.fs.begin("write", f.name); err != nil {
		return 0, err
	}
	f.node.touch(off)
	var short error
	grow := off + int64(len(p)) - int64(len(f.node.data))
	if f.fs.free >= 0 && grow > f.fs.free {
		p = p[:max(0, int64(len(p))-(grow-f.fs.free))]
		short = syscall.ENOSPC
	}
	if grow = off + int64(len(p)) - int64(len(f.node.data)); grow > 0 {
		f.node.data = append(f.node.data, make([]byte, grow)...)
		if f.fs.free >= 0 {
			f.fs.free -= grow
		}
	}
	copy(f.node.data[off:], p)
	return len(p), short
}

// Close may tell of a fault, but not of a lost power: descriptors die with the process.
func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	delete(f.fs.locked, f.node)
	if f.fs.fault != nil && !f.fs.dead && f.name != "" {
		return f.fs.fault("close", f.name)
	}
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) Truncate(size int64) error {
	defer f.fs.mu.Unlock()
	if err := f.fs.begin("truncate", f.name); err != nil {
		return err
	}
	f.node.touch(size)
	if cut := int64(len(f.node.data)) - size; cut > 0 {
		f.fs.giveBack(cut)
		f.node.data = slices.Clip(f.node.data[:size])
	}
	return nil
}

func (f *memFile) Sync() error {
	defer f.fs.mu.Unlock()
	if err := f.fs.begin("sync", f.name); err != nil {
		f.node.dirty = false // as Linux does it: the next fsync knows nothing of these bytes
		return err
	}
	if f.node.dirty {
		from := min(f.node.from, len(f.node.synced), len(f.node.data))
		f.node.synced = append(f.node.synced[:from], f.node.data[from:]...)
		f.node.dirty = false
	}
	return nil
}

// die is kill -9: this file system serves the dead process no more, the one that is returned has all that was
// written.
func (m *memFS) die(*rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	after := newMemFS()
	for name, n := range m.names {
		after.names[name] = &memNode{data: slices.Clone(n.data), synced: slices.Clone(n.synced), dirty: n.dirty, from: n.from}
	}
	for name, n := range m.durable {
		if m.names[name] == n {
			after.durable[name] = after.names[name]
		} else {
			after.durable[name] = n
		}
	}
	return after
}

// losePower stops this file system and returns the one that is found after the restart: what was synced,
// and by chance some, none or garbage of the rest.
func (m *memFS) losePower(rng *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	after := newMemFS()
	keep := func(name string, n *memNode) {
		data := slices.Clone(n.synced)
		if len(n.data) > len(n.synced) {
			tail := slices.Clone(n.data[len(n.synced):])
			tail = tail[:rng.IntN(len(tail)+1)]
			switch rng.IntN(3) {
			case 0: // the length reached the disk, the bytes did not
				clear(tail)
			case 1:
				tail = nil
			}
			data = append(data, tail...)
		}
		node := &memNode{data: data, synced: slices.Clone(data)}
		after.names[name], after.durable[name] = node, node
	}
	for name, n := range m.durable {
		if m.names[name] == n || rng.IntN(2) == 0 { // a removal that was not synced may have happened or not
			keep(name, n)
		}
	}
	for name, n := range m.names {
		if m.durable[name] == nil && rng.IntN(2) == 0 {
			keep(name, n)
		}
	}
	return after
}
