package limit

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func keyOf(n int) (key [16]byte) {
	binary.BigEndian.PutUint64(key[:], uint64(n))
	return key
}

// use takes tokens of key one by one until it is refused, and returns how many there were.
func use(t *Table, now time.Duration, key [16]byte) (taken int) {
	for t.Take(now, key, 1) == 0 {
		taken++
	}
	return taken
}

func TestBucketGivesABurstAndThenItsRate(t *testing.T) {
	b := NewBucket(10, 2*time.Second) // 20 at once
	f := func(now time.Duration, n int, want time.Duration) {
		t.Helper()
		if wait := b.Take(now, n); wait != want {
			t.Fatalf("at %s, %d tokens: refused for %s, want %s", now, n, wait, want)
		}
	}
	for range 20 {
		f(time.Second, 1, 0)
	}
	f(time.Second, 1, 100*time.Millisecond)
	f(time.Second+60*time.Millisecond, 1, 40*time.Millisecond) // a refusal costs nothing
	f(time.Second+100*time.Millisecond, 1, 0)
	f(time.Second+100*time.Millisecond, 1, 100*time.Millisecond)
	f(time.Minute, 15, 0) // full again, and not more than full
	f(time.Minute, 15, 0) // who finds five owes ten
	f(time.Minute, 1, 1100*time.Millisecond)
	f(0, 1, 0) // a clock that was set back by more than any debt refuses nobody
}

func TestDebtHasAnEnd(t *testing.T) {
	b := NewBucket(10, 2*time.Second)
	b.Take(0, 1_000_000)
	if wait := b.Take(0, 1); wait > 2*time.Second+100*time.Millisecond {
		t.Fatalf("refused for %s", wait)
	}
}

func TestWithoutARateNothingIsLimited(t *testing.T) {
	if b := NewBucket(0, time.Second); b != nil || b.Take(0, 1_000_000) != 0 || b.Take(0, 1) != 0 {
		t.Error("a bucket without a rate refuses")
	}
	none := NewTable(0, time.Second, 1000)
	none.Charge(0, keyOf(1), 1_000_000)
	none.Tidy(time.Hour)
	if none != nil || none.Take(0, keyOf(1), 1) != 0 || none.Forgotten() != 0 {
		t.Error("a table without a rate refuses")
	}
}

func TestTokensAreGivenOnceToManyAtOnce(t *testing.T) {
	const each, workers = 500, 8
	b, table := NewBucket(100, 10*time.Second), NewTable(100, 10*time.Second, 1000) // 1000 at once
	var ofBucket, ofTable atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range each {
				if b.Take(0, 1) == 0 {
					ofBucket.Add(1)
				}
				if table.Take(0, keyOf(7), 1) == 0 {
					ofTable.Add(1)
				}
			}
		})
	}
	group.Wait()
	if ofBucket.Load() != 1000 || ofTable.Load() != 1000 {
		t.Errorf("gave %d and %d tokens of 1000", ofBucket.Load(), ofTable.Load())
	}
}

func TestKeysAreLimitedEachByItself(t *testing.T) {
	table := NewTable(10, 2*time.Second, 1000)
	for n := range 100 {
		if taken := use(table, 0, keyOf(n)); taken != 20 {
			t.Fatalf("key %d got %d tokens, want 20", n, taken)
		}
	}
	if wait := table.Take(0, keyOf(3), 1); wait != 100*time.Millisecond {
		t.Errorf("refused for %s", wait)
	}
	table.Charge(10*time.Second, keyOf(4), 5)
	if taken := use(table, 10*time.Second, keyOf(4)); taken != 15 {
		t.Errorf("%d tokens are left after five were charged, want 15", taken)
	}
}

// A million keys, each in debt at the same moment, are far more than there are places.
func TestMillionKeysTakeNoMoreMemoryAndRefuseNobody(t *testing.T) {
	const keys, places = 1_000_000, 1 << 14
	table := NewTable(10, 2*time.Second, places)
	hot := keyOf(-1)
	use(table, 0, hot)
	before := heap()
	for n := range keys {
		if wait := table.Take(0, keyOf(n), 1); wait != 0 {
			t.Fatalf("key %d is refused for want of room", n)
		}
		if wait := table.Take(0, hot, 1); n%1000 == 0 && wait == 0 {
			t.Fatalf("after %d other keys the hot one begins anew", n)
		}
	}
	if after := heap(); after > before+64<<10 {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	if table.Forgotten() < keys-places {
		t.Errorf("%d debts were forgotten; it cannot be so few", table.Forgotten())
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What an attacker with many addresses gains at the very most: not a fresh burst, and only in a set that is
// crowded with debtors.
func TestForgottenKeyComesBackWithHalfABucketAtMost(t *testing.T) {
	table := NewTable(10, 2*time.Second, 0)
	g := table.now.Load()
	own := func(key [16]byte) *set { return &g.sets[g.hash(key)&uint64(table.sets-1)] }
	hot := keyOf(0)
	use(table, 0, hot)
	mates := 0
	for n := 1; mates < ways; n++ {
		if key := keyOf(n); own(key) == own(hot) {
			mates++
			for table.Take(0, key, 1) == 0 && mates < ways { // the last one only knocks
			}
		}
	}
	if taken := use(table, 0, hot); taken > 10 {
		t.Errorf("the hot key got %d tokens more, at most half a bucket of 20", taken)
	}
}

func TestNewSeedKeepsDebtsAndForgetsTheOldOne(t *testing.T) {
	table := NewTable(10, 2*time.Second, 1000)
	const hour = time.Hour
	use(table, hour, keyOf(1))
	first := table.now.Load()
	table.Tidy(hour - 1)
	if table.now.Load() != first {
		t.Fatal("the seed changed early")
	}
	table.Tidy(hour)
	if table.now.Load().seed == first.seed || table.now.Load().past.Load() != first {
		t.Fatal("the seed did not change after an hour")
	}
	if wait := table.Take(hour, keyOf(1), 1); wait != 100*time.Millisecond {
		t.Errorf("under the new seed a key in debt is refused for %s", wait)
	}
	if taken := use(table, hour, keyOf(2)); taken != 20 {
		t.Errorf("under the new seed another key got %d tokens", taken)
	}
	table.Tidy(hour + 4*time.Second)
	if table.now.Load().past.Load() == nil {
		t.Error("the old seed is gone while debts under it may be open")
	}
	table.Tidy(hour + 4*time.Second + 1)
	if table.now.Load().past.Load() != nil {
		t.Error("the old seed is still there after every debt is paid")
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	b, table, now := NewBucket(10, time.Second), NewTable(10, time.Second, 1000), time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		now++
		b.Take(now, 1)
		table.Take(now, keyOf(int(now)), 1)
		table.Charge(now, keyOf(int(now)), 3)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	bucket := NewBucket(1_000_000_000, time.Second)
	b.Run("bucket", func(b *testing.B) {
		for now := time.Duration(0); b.Loop(); now += time.Microsecond {
			bucket.Take(now, 1)
		}
	})
	f := func(name string, keys int) {
		table := NewTable(1000, 20*time.Second, 1<<17)
		b.Run(name, func(b *testing.B) {
			for now := time.Duration(0); b.Loop(); now += time.Microsecond {
				table.Take(now, keyOf(rand.IntN(keys)), 1)
			}
		})
	}
	f("one key", 1)
	f("a million keys", 1_000_000)
}

// A change of the seed in the middle of a crowd: nobody waits for ever.
func TestSeedChangesWhileEverybodyComes(t *testing.T) {
	table := NewTable(1, 20*time.Second, 1<<12)
	var clock atomic.Int64 // hours
	done := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := uint64(0); ; i++ {
				select {
				case <-done:
					return
				default:
				}
				var key [16]byte
				binary.NativeEndian.PutUint64(key[:], i)
				key[15] = byte(w + 1)
				table.Take(time.Duration(clock.Load())*renewal, key, 1)
			}
		})
	}
	for hour := int64(1); hour <= 50; hour++ {
		clock.Store(hour)
		table.Tidy(time.Duration(hour) * renewal)
		time.Sleep(2 * time.Millisecond) // lets the crowd in between two changes
	}
	close(done)
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("somebody waits for ever")
	}
}
