package daykey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/keyring"
)

// Day is a UTC day, counted from 1970-01-01.
type Day int32

const (
	dayMillis  = 24 * 60 * 60 * 1000
	daySeconds = 24 * 60 * 60
)

// DayOf returns the day of an instant in Unix milliseconds.
func DayOf(millis int64) Day {
	if millis < 0 {
		millis -= dayMillis - 1
	}
	return Day(millis / dayMillis)
}

func (d Day) start() time.Time { return time.Unix(int64(d)*daySeconds, 0).UTC() }

func (d Day) String() string { return d.start().Format(time.DateOnly) }

// Config says where the keys are. Only Dir is needed.
type Config struct {
	Dir        string           // the volatile folder; made when it is missing
	From       string           // address of another collector's /day-keys; "" = keys are made here
	Secret     *Secret          // of the hosts that share keys; needed with From
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: none
}

// Keys holds the day keys of every site that was asked for. It is safe for concurrent use.
type Keys struct {
	config  Config
	folder  folder
	peer    *peer // nil: keys are made here
	metrics metrics

	mu       sync.Mutex // of everything below, and of every change to the folder
	sites    map[string]*Site
	reported map[string]bool // faults that are in the log already, by file
}

// Open checks the folder, and makes it when it is missing. It reads no key: Site and Run do.
func Open(c Config) (*Keys, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keys{config: c, folder: folder{dir: c.Dir}, sites: make(map[string]*Site), reported: make(map[string]bool)}
	if err := k.folder.check(); err != nil {
		return nil, err
	}
	if c.From != "" {
		if c.Secret == nil {
			return nil, errors.New("day keys of another host need the secret that both know")
		}
		k.peer = newPeer(c.From, c.Secret)
	}
	if !onTmpfs(c.Dir) {
		c.Log.Warn("day keys lie on a disk, which may keep what is destroyed: name a folder on a tmpfs with --volatile-dir", "dir", c.Dir)
	}
	k.metrics.register(c.Registerer, k.held)
	return k, nil
}

// Site returns the keys of a site. The first time, which is when a sites file names it, it looks into the
// folder and makes what is missing; it never waits for another host.
func (k *Keys) Site(id string) *Site {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.sites[id]; s != nil {
		return s
	}
	s := &Site{id: id, misses: k.metrics.misses}
	k.sites[id] = s
	now := k.config.Now()
	today := DayOf(now.UnixMilli())
	k.settleLocked(s, now, k.folder.look(fileName(id, today-1), fileName(id, today), fileName(id, today+1)), true)
	return s
}

// Run keeps the keys in order until ctx ends, and then forgets them. Files stay for the next start.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer k.forget()
	for {
		k.Turn(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forget overwrites every key in memory.
func (k *Keys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sites {
		for i := range s.slots {
			s.slots[i].wipe()
		}
	}
}

// held is how many keys are in memory.
func (k *Keys) held() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, s := range k.sites {
		for i := range s.slots {
			if s.slots[i].file != nil {
				n++
			}
		}
	}
	return float64(n)
}

// Site is the keys of one site. Its Key is safe for concurrent use and takes no lock.
type Site struct {
	id     string
	misses prometheus.Counter
	slots  [4]slot // a day's key is at the day's number modulo 4: three days at once have different places
}

func (s *Site) slot(day Day) *slot { return &s.slots[uint32(day)%uint32(len(s.slots))] }

// Key copies the key of a day to into, and reports whether there is one. The copy is the caller's to
// overwrite when it is through with it.
func (s *Site) Key(day Day, into *keyring.Key) bool {
	room()
	if s.slot(day).read(day, into) {
		return true
	}
	s.misses.Inc()
	return false
}

// room makes the stack large enough for what is done with a key before there is one on it. Were it to grow
// later, the old stack would be left behind with the key in it.
//
//go:noinline
func room() {
	var frame [4 << 10]byte
	runtime.KeepAlive(&frame)
}

// slot is the place of one key. Readers see the key of the day that they ask for, whole, or none; a
// writer, who holds Keys.mu, does not wait for them. So a key can be overwritten in place: were it behind
// a pointer, its memory would stay as it was until the collector of garbage gave it to somebody else.
type slot struct {
	version atomic.Uint64 // odd while the slot is written
	day     atomic.Int64  // none, or the day + 1
	words   [4]atomic.Uint64
	file    *fileID // where the key was read; nil = no key. Guarded by Keys.mu
}

func (s *slot) read(day Day, into *keyring.Key) bool {
	version := s.version.Load()
	if version&1 != 0 || s.day.Load() != int64(day)+1 {
		return false
	}
	for i := range s.words {
		binary.NativeEndian.PutUint64(into[8*i:], s.words[i].Load())
	}
	if s.version.Load() != version {
		into.Wipe()
		return false
	}
	return true
}

func (s *slot) write(day Day, key []byte, file *fileID) {
	s.version.Add(1)
	s.day.Store(int64(day) + 1)
	for i := range s.words {
		s.words[i].Store(binary.NativeEndian.Uint64(key[8*i:]))
	}
	s.file = file
	s.version.Add(1)
}

func (s *slot) wipe() {
	s.version.Add(1)
	s.day.Store(0)
	for i := range s.words {
		s.words[i].Store(0)
	}
	s.file = nil
	s.version.Add(1)
}

func (s *slot) holds(day Day) bool { return s.file != nil && s.day.Load() == int64(day)+1 }

// metrics is what monitoring sees.
type metrics struct {
	misses prometheus.Counter
	faults *prometheus.CounterVec
}

func (m *metrics) register(reg prometheus.Registerer, held func() float64) {
	m.misses = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "beckon_day_key_misses_total", Help: "Ids of lane measure that could not be made for want of the day's key; their events were lowered to lane count.",
	})
	m.faults = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_day_key_faults_total", Help: "Day keys that could not be made, read, destroyed (folder) or fetched (peer).",
	}, []string{"of"})
	for _, of := range []string{ofFolder, ofPeer} {
		m.faults.WithLabelValues(of)
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "beckon_day_keys", Help: "Day keys in memory, of all sites.",
	}, held)
	if reg != nil {
		reg.MustRegister(m.misses, m.faults, gauge)
	}
}

const (
	ofFolder = "folder"
	ofPeer   = "peer"
)

// fault counts a fault, and logs it the first time that it happens to this file.
func (k *Keys) faultLocked(of, name string, err error) {
	k.metrics.faults.WithLabelValues(of).Inc()
	if k.reported[name] {
		return
	}
	k.reported[name] = true
	k.config.Log.Error("day key", "error", fmt.Errorf("%s: %w", of, err))
}
