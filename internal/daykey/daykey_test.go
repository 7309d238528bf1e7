package daykey

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/keyring"
)

// noon of a day, which everything here happens around.
var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// host is a volatile folder, the clock that its collectors go by, and what they log.
type host struct {
	testing.TB
	dir   string
	clock atomic.Int64
	log   bytes.Buffer
}

func newHost(t testing.TB) *host {
	h := &host{TB: t, dir: filepath.Join(t.TempDir(), "volatile")}
	h.set(noon)
	return h
}

func (h *host) now() time.Time         { return time.UnixMilli(h.clock.Load()).UTC() }
func (h *host) set(t time.Time)        { h.clock.Store(t.UnixMilli()) }
func (h *host) pass(d time.Duration)   { h.clock.Add(d.Milliseconds()) }
func (h *host) day(offset Day) Day     { return DayOf(h.clock.Load()) + offset }
func (h *host) name(offset Day) string { return fileName("demo", h.day(offset)) }

// collector opens the folder as one more process does.
func (h *host) collector(change ...func(*Config)) *Keys {
	h.Helper()
	c := Config{Dir: h.dir, Now: h.now, Log: slog.New(slog.NewTextHandler(&h.log, nil))}
	for _, f := range change {
		f(&c)
	}
	k, err := Open(c)
	if err != nil {
		h.Fatal(err)
	}
	return k
}

func (h *host) files() []string {
	h.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// keyOf is a site's key of a day, the zero key when there is none.
func keyOf(k *Keys, site string, day Day) (key keyring.Key) {
	if !k.Site(site).Key(day, &key) {
		return keyring.Key{}
	}
	return key
}

func turn(keys ...*Keys) {
	for _, k := range keys {
		k.Turn(context.Background())
	}
}

func TestEverySiteAndDayHasARandomKeyOfItsOwn(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	seen := map[keyring.Key]bool{{}: true}
	for range 5 {
		for _, site := range []string{"demo", "shop", "a"} {
			key := keyOf(k, site, h.day(0))
			if seen[key] {
				t.Fatal("a key is missing, or is another site's or day's")
			}
			seen[key] = true
		}
		h.pass(24 * time.Hour)
		turn(k)
	}
	// Another installation has other ones.
	if other := newHost(t); seen[keyOf(other.collector(), "demo", other.day(0))] {
		t.Fatal("two folders have one key")
	}
}

func TestAKeyIsThereFromTenMinutesBeforeItsDayUntilFortyEightHoursAfterItsBeginning(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	day := h.day(1)
	begin := day.start()
	k.Site("demo")
	var first keyring.Key
	for _, c := range []struct {
		at    time.Duration // from the day's beginning
		there bool
	}{
		{-10*time.Minute - time.Second, false},
		{-10 * time.Minute, true},
		{-time.Second, true},
		{0, true},
		{12 * time.Hour, true},
		{24 * time.Hour, true},
		{48*time.Hour - time.Second, true},
		{48 * time.Hour, false},
		{49 * time.Hour, false},
		{30 * 24 * time.Hour, false},
	} {
		h.set(begin.Add(c.at))
		turn(k)
		key := keyOf(k, "demo", day)
		if first == (keyring.Key{}) {
			first = key
		}
		if c.there && key != first || !c.there && key != (keyring.Key{}) {
			t.Errorf("%s from the day's beginning: key %v, want %v", c.at, key != keyring.Key{}, c.there)
		}
		_, err := os.Lstat(filepath.Join(h.dir, fileName("demo", day)))
		if (err == nil) != c.there {
			t.Errorf("%s from the day's beginning: file %v, want %v", c.at, err == nil, c.there)
		}
	}
}

func TestMidnightFindsTheNextKeyReady(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	k.Site("demo")
	h.set(h.day(1).start().Add(-time.Second))
	turn(k)
	h.pass(time.Second) // and no turn since
	if keyOf(k, "demo", h.day(0)) == (keyring.Key{}) || keyOf(k, "demo", h.day(-1)) == (keyring.Key{}) {
		t.Error("a request in the first moment of the day finds no key, or none for the event of a moment ago")
	}
}

func TestNobodyMakesAKeyForADayThatIsOver(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	if keyOf(k, "demo", h.day(-1)) != (keyring.Key{}) {
		t.Error("yesterday's key was made today")
	}
}

func TestCollectorsOfOneHostAgreeAndARestartKeepsTheKeys(t *testing.T) {
	h := newHost(t)
	first, second := h.collector(), h.collector()
	key := keyOf(first, "demo", h.day(0))
	if key == (keyring.Key{}) || keyOf(second, "demo", h.day(0)) != key {
		t.Fatal("two collectors have two keys")
	}
	h.pass(24 * time.Hour)
	turn(second, first)
	if keyOf(first, "demo", h.day(0)) != keyOf(second, "demo", h.day(0)) || keyOf(first, "demo", h.day(-1)) != key {
		t.Error("they do not agree on the next day, or forgot the one before")
	}
	if third := h.collector(); keyOf(third, "demo", h.day(-1)) != key || keyOf(third, "demo", h.day(0)) != keyOf(first, "demo", h.day(0)) {
		t.Error("a restart lost the keys")
	}
}

func TestRebootBeginsTheDayAnewAndNothingLeadsBack(t *testing.T) {
	h := newHost(t)
	key := keyOf(h.collector(), "demo", h.day(0))
	if err := os.RemoveAll(h.dir); err != nil { // what a tmpfs is after a reboot
		t.Fatal(err)
	}
	after := h.collector()
	if again := keyOf(after, "demo", h.day(0)); again == key || again == (keyring.Key{}) {
		t.Error("no key after a reboot, or the old one")
	}
}

func TestFolderIsTheTruthForARunningCollector(t *testing.T) {
	h := newHost(t)
	first, second := h.collector(), h.collector()
	key := keyOf(first, "demo", h.day(0))
	second.Site("demo")
	for name, remove := range map[string]func() error{
		"the file":   func() error { return os.Remove(filepath.Join(h.dir, h.name(0))) },
		"the folder": func() error { return os.RemoveAll(h.dir) },
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		turn(second, first)
		again := keyOf(first, "demo", h.day(0))
		if again == key || again == (keyring.Key{}) || keyOf(second, "demo", h.day(0)) != again {
			t.Errorf("after %s was removed they do not agree on a new key", name)
		}
		key = again
	}
}

func TestClockThatStepsForwardAndBack(t *testing.T) {
	f := func(name string, step time.Duration, kept bool) {
		t.Helper()
		h := newHost(t)
		k := h.collector()
		day, key := h.day(0), keyOf(k, "demo", h.day(0))
		h.pass(step)
		turn(k)
		if keyOf(k, "demo", h.day(0)) == (keyring.Key{}) {
			t.Errorf("%s: no key after the step", name)
		}
		h.pass(-step)
		turn(k)
		again := keyOf(k, "demo", day)
		if again == (keyring.Key{}) || (again == key) != kept {
			t.Errorf("%s and back: the day's key is there %v, the same %v, want it to be the same: %v", name, again != keyring.Key{}, again == key, kept)
		}
		for _, name := range h.files() {
			if _, at, ok := parseName(name); !ok || at > day+1 || at < day-1 {
				t.Errorf("%s and back: %s is left, which is older than 48 h when its day ends", name, name)
			}
		}
	}
	f("an hour forward", time.Hour, true)
	f("a day forward", 24*time.Hour, true)
	f("three days forward", 72*time.Hour, false) // it was destroyed, and does not come back
	f("an hour back", -time.Hour, true)
	f("a day back", -24*time.Hour, true)
	f("three days back", -72*time.Hour, false)
	f("to 1970", noon.Sub(time.Unix(0, 0))*-1, false)
}

// damaged puts something else in the place of today's key.
func (h *host) damaged(b []byte, mode fs.FileMode) {
	h.Helper()
	name := filepath.Join(h.dir, h.name(0))
	if err := os.RemoveAll(name); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(name, b, mode); err != nil {
		h.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		h.Fatal(err)
	}
}

func TestDamagedFilesAreRefusedAndNeverReplaced(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	k.Site("demo")
	k.Site("shop")
	good, err := os.ReadFile(filepath.Join(h.dir, h.name(0)))
	if err != nil {
		t.Fatal(err)
	}
	ofShop, err := os.ReadFile(filepath.Join(h.dir, fileName("shop", h.day(0))))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(why string, b []byte, mode fs.FileMode) {
		t.Helper()
		h.damaged(b, mode)
		fresh := h.collector()
		if keyOf(fresh, "demo", h.day(0)) != (keyring.Key{}) {
			t.Fatalf("%s: it is used", why)
		}
		turn(fresh, k)
		if keyOf(k, "demo", h.day(0)) != (keyring.Key{}) {
			t.Fatalf("%s: a running collector keeps a key that nobody else has", why)
		}
		if now, err := os.ReadFile(filepath.Join(h.dir, h.name(0))); err != nil || !bytes.Equal(now, b) {
			t.Fatalf("%s: it was replaced", why)
		}
	}
	for n := range recordBytes {
		refused(fmt.Sprintf("cut after %d bytes", n), good[:n], fileMode)
		flipped := bytes.Clone(good)
		flipped[n] ^= 4
		refused(fmt.Sprintf("a flipped bit in byte %d", n), flipped, fileMode)
	}
	refused("a byte too many", append(bytes.Clone(good), 0), fileMode)
	refused("all zeros", make([]byte, recordBytes), fileMode)
	refused("another site's", ofShop, fileMode)
	refused("readable by others", good, 0o644)
	var zeros record
	zeros.seal("demo", h.day(0))
	refused("a key of zeros", zeros.b[:], fileMode)
	if n := strings.Count(h.log.String(), "not replaced"); n < 2 || strings.Contains(h.log.String(), fmt.Sprintf("%x", good[keyAt:checkAt])) {
		t.Errorf("the log says it %d times, or shows the key", n)
	}
	h.damaged(good, fileMode)
	turn(k)
	if key := keyOf(k, "demo", h.day(0)); !bytes.Equal(key[:], good[keyAt:checkAt]) {
		t.Error("the whole file is not used again")
	}
	// What is under the name and no file is no key either.
	if err := os.Remove(filepath.Join(h.dir, h.name(0))); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(elsewhere, good, fileMode); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(h.dir, h.name(0))); err != nil {
		t.Fatal(err)
	}
	if turn(k); keyOf(k, "demo", h.day(0)) != (keyring.Key{}) {
		t.Error("a link was followed")
	}
}

func TestWhatADeadProcessLeftUnfinishedIsRemovedAndTheKeyInUseIsNot(t *testing.T) {
	h := newHost(t)
	h.set(time.Now().UTC()) // the files' times are the machine's
	k := h.collector()
	key := keyOf(k, "demo", h.day(0))
	// One died before it named its file, one right after.
	unfinished, named := filepath.Join(h.dir, newMark+"1"), filepath.Join(h.dir, newMark+"2")
	if err := os.WriteFile(unfinished, []byte("half a key"), fileMode); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(h.dir, h.name(0)), named); err != nil {
		t.Fatal(err)
	}
	turn(k)
	if n := len(h.files()); n < 3 {
		t.Fatalf("%d files: one was removed while its maker may still be at work", n)
	}
	h.pass(2 * time.Minute)
	turn(k)
	for _, name := range h.files() {
		if isUnfinished(name) {
			t.Errorf("%s is left", name)
		}
	}
	if fresh := h.collector(); key == (keyring.Key{}) || keyOf(fresh, "demo", h.day(0)) != key {
		t.Error("the key in use was overwritten through its second name")
	}
}

func TestDestroyedFilesAreOverwrittenBeforeTheyGo(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	k.Site("demo")
	open, err := os.Open(filepath.Join(h.dir, h.name(0))) // keeps the bytes alive beyond the name
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	h.pass(48 * time.Hour)
	turn(k)
	var b [recordBytes]byte
	if _, err := open.ReadAt(b[:], 0); err != nil || b != [recordBytes]byte{} {
		t.Errorf("the file still holds %d bytes that are not zero (%v)", recordBytes-bytes.Count(b[:], []byte{0}), err)
	}
}

func TestOpenRefusesAFolderInWhichOthersCouldPlantKeys(t *testing.T) {
	f := func(why string, good bool, prepare func(dir string) error) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "volatile")
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Dir: dir}); (err == nil) != good {
			t.Errorf("%s: %v", why, err)
		}
	}
	mkdir := func(mode fs.FileMode) func(string) error {
		return func(dir string) error {
			if err := os.Mkdir(dir, mode); err != nil {
				return err
			}
			return os.Chmod(dir, mode)
		}
	}
	f("none yet", true, func(string) error { return nil })
	f("ours", true, mkdir(0o700))
	f("readable", true, mkdir(0o755))
	f("writable by the group", false, mkdir(0o770))
	f("writable by all", false, mkdir(0o1777))
	f("a file", false, func(dir string) error { return os.WriteFile(dir, nil, 0o600) })
	f("a link", false, func(dir string) error { return os.Symlink(t.TempDir(), dir) })
	if os.Geteuid() == 0 { // only root can make a folder of somebody else
		f("somebody else's", false, func(dir string) error {
			return errorsOf(os.Mkdir(dir, 0o700), os.Chown(dir, 12345, 12345))
		})
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestAFolderThatCannotBeWrittenLeavesTheSiteWithoutAKeyAndIsCounted(t *testing.T) {
	h := newHost(t)
	reg := prometheus.NewRegistry()
	k := h.collector(func(c *Config) { c.Registerer = reg })
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.dir, nil, 0o600); err != nil { // also root cannot write into a file
		t.Fatal(err)
	}
	for range 3 {
		if keyOf(k, "demo", h.day(0)) != (keyring.Key{}) {
			t.Fatal("a key that no other collector can know")
		}
		turn(k)
	}
	if faults, misses := value(t, reg, "beckon_day_key_faults_total"), value(t, reg, "beckon_day_key_misses_total"); faults < 3 || misses != 3 {
		t.Errorf("%v faults and %v misses are counted", faults, misses)
	}
	if n := strings.Count(h.log.String(), "level=ERROR"); n != 2 { // the folder cannot be listed, the key cannot be made

		t.Errorf("it is logged %d times", n)
	}
	if err := os.Remove(h.dir); err != nil {
		t.Fatal(err)
	}
	if turn(k); keyOf(k, "demo", h.day(0)) == (keyring.Key{}) || value(t, reg, "beckon_day_keys") != 1 {
		t.Error("no key when the folder is in order again")
	}
}

// value is the sum of a metric over its labels.
func value(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// Ten processes begin a day at once.
func TestProcessesThatBeginADayTogetherAgree(t *testing.T) {
	if dir := os.Getenv("BECKON_TEST_DAYKEYS"); dir != "" {
		k, err := Open(Config{Dir: dir, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			key := keyOf(k, fmt.Sprint("site", i), DayOf(noon.UnixMilli()))
			fmt.Printf("key %d %x\n", i, key[:])
		}
		return
	}
	h := newHost(t)
	said := make([]string, 10)
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
			cmd.Env = append(os.Environ(), "BECKON_TEST_DAYKEYS="+h.dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "key ") {
					said[i] += line
				}
			}
		})
	}
	all.Wait()
	if strings.Count(said[0], "\n") != 50 || strings.Contains(said[0], strings.Repeat("00", 32)) {
		t.Fatalf("a process has not 50 keys:\n%s", said[0])
	}
	for i := range said {
		if said[i] != said[0] {
			t.Fatal("two processes have two keys for one day")
		}
	}
	if n := len(h.files()); n != 50 {
		t.Errorf("%d files, want 50", n)
	}
}

// Whoever reads while keys come and go gets a whole key of the day, or none.
func TestReadersSeeWholeKeys(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	s := k.Site("demo")
	day := h.day(0)
	s.slot(day).wipe()
	var quit atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !quit.Load() {
				var key keyring.Key
				if s.Key(day, &key) && bytes.Count(key[:], key[:1]) != len(key) {
					t.Error("a key of two halves")
					return
				}
			}
		})
	}
	for i := range 20_000 {
		k.mu.Lock()
		if i%3 == 2 {
			s.slot(day).wipe()
		} else {
			s.slot(day).write(day, bytes.Repeat([]byte{byte(i%255) + 1}, 32), &fileID{})
		}
		k.mu.Unlock()
	}
	quit.Store(true)
	readers.Wait()
}

func TestKeyAllocatesNothing(t *testing.T) {
	h := newHost(t)
	s := h.collector().Site("demo")
	day, missing := h.day(0), h.day(5)
	if got := testing.AllocsPerRun(1000, func() {
		var key keyring.Key
		s.Key(day, &key)
		s.Key(missing, &key)
		key.Wipe()
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestRunStopsAndForgets(t *testing.T) {
	h := newHost(t)
	k := h.collector()
	k.Site("demo")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if keyOf(k, "demo", h.day(0)) != (keyring.Key{}) || k.held() != 0 {
		t.Error("a stopped collector keeps its keys")
	}
	if len(h.files()) != 1 {
		t.Error("the next start finds no key")
	}
}

func TestDaysAreUTC(t *testing.T) {
	f := func(at string, want string) {
		t.Helper()
		when, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := DayOf(when.UnixMilli()).String(); got != want {
			t.Errorf("%s is of %s, want %s", at, got, want)
		}
	}
	f("2026-11-27T00:00:00Z", "2026-11-27")
	f("2026-11-26T23:59:59.999Z", "2026-11-26")
	f("2026-11-27T00:30:00+01:00", "2026-11-26")
	f("1969-12-31T23:59:59.999Z", "1969-12-31")
	f("1970-01-01T00:00:00Z", "1970-01-01")
}
