package privacy

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"testing"
	"time"

	"beckon/internal/keyring"
)

func TestVisitSurvivesTheCookie(t *testing.T) {
	k := testSite("demo", 1)
	v := NewVisit(k, now, LaneDecide, &Choice{Decide: true, Version: NewLabel([]byte("2026-05")), At: now.Add(-time.Hour)})
	value := v.AppendTo(nil, k)
	if len(value) != 63 {
		t.Fatalf("the cookie has %d characters, want 63", len(value))
	}
	got, ok := OpenVisit(k, value, now)
	if !ok || got != v {
		t.Fatalf("OpenVisit = %+v, %v, want %+v", got, ok, v)
	}
	if v.Epoch != 2 || v.SessionStart%60 != 0 || v.ChoiceAt != now.Add(-time.Hour).Unix() || v.PolicyHash == 0 {
		t.Fatalf("NewVisit = %+v", v)
	}
	if w := NewVisit(k, now, LaneDecide, nil); w.Random == v.Random || w.ID(k) == v.ID(k) {
		t.Fatal("two visitors are the same")
	}
}

func TestOpenVisitIgnoresWhatItCannotTrust(t *testing.T) {
	k := testSite("demo", 1)
	good := NewVisit(k, now, LaneDecide, nil)
	f := func(why string, want bool, k *keyring.Site, value []byte, at time.Time) {
		t.Helper()
		if _, ok := OpenVisit(k, value, at); ok != want {
			t.Errorf("%s: OpenVisit = %v, want %v", why, ok, want)
		}
	}
	value := good.AppendTo(nil, k)
	f("the good cookie", true, k, value, now)
	f("one of another site", false, testSite("shop", 40), value, now)
	f("one of another site with the same key", false, testSite("shop", 1), value, now)
	f("one sealed for another purpose", false, k, SealValue(k, "grant", mustDecode(t, value)[:visitBytes]), now)
	f("nothing", false, k, nil, now)
	f("a very long value", false, k, bytes.Repeat([]byte("A"), 1<<16), now)
	for i := range value {
		f("a cut value", false, k, value[:i], now)
	}

	// Signed by us, and still no longer true.
	change := func(why string, want bool, f2 func(v *Visit)) {
		t.Helper()
		v := good
		f2(&v)
		f(why, want, k, v.AppendTo(nil, k), now)
	}
	day := int64(24 * 60 * 60)
	change("created 5 minutes ahead", true, func(v *Visit) { v.Created = now.Unix() + 300 })
	change("created further ahead", false, func(v *Visit) { v.Created = now.Unix() + 301 })
	change("last seen ahead", false, func(v *Visit) { v.LastSeen = now.Unix() + 301 })
	change("a session that starts ahead", false, func(v *Visit) { v.SessionStart = now.Unix() + 301 })
	change("almost 395 days old", true, func(v *Visit) { v.Created = now.Unix() - 395*day + 1 })
	change("395 days old", false, func(v *Visit) { v.Created = now.Unix() - 395*day })
	change("of the older epoch", true, func(v *Visit) { v.Epoch = 1 })
	change("of an unknown epoch", false, func(v *Visit) { v.Epoch = 3 })
	change("without a lane", false, func(v *Visit) { v.Lane = LaneNone })
	change("of an unknown lane", false, func(v *Visit) { v.Lane = LaneDecide + 1 })

	payload := mustDecode(t, value)[:visitBytes]
	payload[0] = visitVersion + 1
	f("another version", false, k, SealValue(k, visitPurpose, payload), now)
	f("a payload that is too short", false, k, SealValue(k, visitPurpose, mustDecode(t, value)[:visitBytes-1]), now)
	f("a payload that is too long", false, k, SealValue(k, visitPurpose, append(mustDecode(t, value)[:visitBytes], 0)), now)
}

// TestVisitLayoutStays holds the drawing in visit.go: cookies live for 395 days.
func TestVisitLayoutStays(t *testing.T) {
	k := testSite("demo", 1)
	v := Visit{Epoch: 2, Created: 0x01020304, SessionStart: 0x05060708, LastSeen: 0x090a0b0c, Lane: LaneDecide, PolicyHash: 0x0d0e0f10, ChoiceAt: 0x11121314}
	copy(v.Random[:], "0123456789abcdef")
	const want = "AQIwMTIzNDU2Nzg5YWJjZGVmAQIDBAUGBwgJCgsMAw0ODxAREhMU7_ByqZY00Nw"
	if got := string(v.AppendTo(nil, k)); got != want {
		t.Fatalf("cookie is %s, want %s", got, want)
	}
}

func TestVisitIDOutlivesANewEpoch(t *testing.T) {
	k := testSite("demo", 1)
	older := &keyring.Site{ID: k.ID, MAC: k.MAC, Decide: k.Decide[:1]}
	v := NewVisit(older, now, LaneDecide, nil)
	if v.Epoch != 1 || v.ID(older).IsZero() || v.ID(older) != v.ID(k) || v.Session(older) != v.Session(k) {
		t.Fatal("a newer epoch changed the visitor or the session")
	}
	newer := &keyring.Site{ID: k.ID, MAC: k.MAC, Decide: k.Decide[1:]}
	if !v.ID(newer).IsZero() || !v.Session(newer).IsZero() {
		t.Fatal("a visitor has an id although its epoch's key was destroyed")
	}
}

func TestTouchKeepsAndEndsSessions(t *testing.T) {
	k := testSite("demo", 1)
	f := func(why string, idle, age time.Duration, wantResend, wantNew bool) {
		t.Helper()
		v := Visit{Epoch: 2, Created: now.Add(-age).Unix(), SessionStart: floorMinute(now.Add(-age).Unix()), LastSeen: now.Add(-idle).Unix()}
		session := v.Session(k)
		before := v
		if got := v.Touch(now); got != wantResend {
			t.Errorf("%s: resend = %v, want %v", why, got, wantResend)
		}
		if got := v.Session(k) != session; got != wantNew {
			t.Errorf("%s: new session = %v, want %v", why, got, wantNew)
		}
		if wantNew && v.SessionStart != floorMinute(now.Unix()) {
			t.Errorf("%s: the session starts at %d", why, v.SessionStart)
		}
		if moved := v.LastSeen != before.LastSeen; moved != wantResend {
			t.Errorf("%s: last seen moved = %v, though the browser learns of it = %v", why, moved, wantResend)
		}
		if v.Created != before.Created {
			t.Errorf("%s: creation moved", why)
		}
	}
	minute := time.Minute
	f("at once", 0, 0, false, false)
	f("within the minute", 59*time.Second, 10*minute, false, false)
	f("after a minute", minute, 10*minute, true, false)
	f("almost idle", 30*minute-time.Second, 2*time.Hour, true, false)
	f("idle", 30*minute, 2*time.Hour, true, true)
	f("long idle", 40*24*time.Hour, 41*24*time.Hour, true, true)
	f("a long session", minute, 24*time.Hour-minute, true, false)
	f("a session of a day", minute, 24*time.Hour, true, true)
	f("a day, though just seen", time.Second, 24*time.Hour+minute, true, true)
	f("last seen ahead of this clock", -4*minute, 10*minute, false, false)
}

func TestSessionsOfTwoTabsAgree(t *testing.T) {
	k := testSite("demo", 1)
	first := NewVisit(k, now.Add(-time.Hour), LaneDecide, nil)
	second := first
	first.Touch(now)
	second.Touch(now.Add(10 * time.Second)) // sent before the first reply came back
	if first.Session(k) != second.Session(k) {
		t.Fatal("two tabs that woke up within a minute have two sessions")
	}
}

func TestMaxAgeCountsDownFromCreation(t *testing.T) {
	v := Visit{Created: now.Unix()}
	day := 24 * time.Hour
	f := func(after, want time.Duration) {
		t.Helper()
		if got := v.MaxAge(now.Add(after)); got != want {
			t.Errorf("after %v: MaxAge = %v, want %v", after, got, want)
		}
	}
	f(0, 395*day)
	f(100*day, 295*day)
	f(-time.Minute, 395*day) // another collector's clock is behind
}

func TestTomorrowBeginsANewSessionAtEveryUse(t *testing.T) {
	k := testSite("demo", 1)
	v := NewVisit(k, now, LaneDecide, nil)
	id := v.ID(k)
	seen := map[ID]bool{v.Session(k): true}
	for range 20 { // all within one minute
		created := v.Created
		v.Tomorrow(now)
		if seen[v.Session(k)] {
			t.Fatal("the session is not a new one")
		}
		seen[v.Session(k)] = true
		if v.Created != created-24*60*60 || v.ID(k) != id {
			t.Fatal("the visitor is another one, or did not grow a day older")
		}
		back, ok := OpenVisit(k, v.AppendTo(nil, k), now)
		if !ok || back != v {
			t.Fatal("the cookie is not accepted")
		}
		if session := back.Session(k); back.Touch(now.Add(time.Second)) || back.Session(k) != session {
			t.Fatal("the next request left the new session")
		}
	}
}

func TestRecordNotesAChoiceOncePerChange(t *testing.T) {
	k := testSite("demo", 1)
	v := NewVisit(k, now, LaneDecide, nil)
	if v.Recorded() != LaneNone {
		t.Fatal("a default counts as a choice")
	}
	c := Choice{Decide: true, Version: NewLabel([]byte("1")), At: now.Add(-time.Minute)}
	if !v.Record(now, LaneDecide, c) || v.Recorded() != LaneDecide || v.ChoiceAt != c.At.Unix() {
		t.Fatalf("the first choice was not recorded: %+v", v)
	}
	c.At = now
	if v.Record(now, LaneDecide, c) || v.ChoiceAt != now.Add(-time.Minute).Unix() {
		t.Fatal("the same choice was recorded again")
	}
	c.Version = NewLabel([]byte("2"))
	if !v.Record(now, LaneDecide, c) {
		t.Fatal("consent to another policy text was not recorded")
	}
	if !v.Record(now, LaneCount, c) || v.Recorded() != LaneCount {
		t.Fatal("another lane was not recorded")
	}
	for _, at := range []time.Time{{}, now.Add(time.Hour), time.Unix(-5, 0)} {
		w := NewVisit(k, now, LaneDecide, &Choice{Decide: true, At: at})
		if w.ChoiceAt != now.Unix() {
			t.Errorf("a choice said to be made at %v is recorded at %d, want the present", at, w.ChoiceAt)
		}
	}
}

func TestCookieNames(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("name %q, want %q", got, want)
		}
	}
	f(CookieName("demo", false), "_bk_demo")
	f(CookieName("demo", true), "__Host-_bk_demo")
	f(GrantCookieName("demo"), "_bk_d_demo")
}

func FuzzOpenVisit(f *testing.F) {
	k := testSite("demo", 1)
	v := NewVisit(k, now, LaneDecide, &Choice{Decide: true})
	good := v.AppendTo(nil, k)
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte(""))
	f.Add(bytes.Repeat([]byte("_"), 63))
	f.Add(SealValue(k, visitPurpose, binary.BigEndian.AppendUint64([]byte{visitVersion, 2}, 7)))
	f.Fuzz(func(t *testing.T, value []byte) {
		got, ok := OpenVisit(k, value, now)
		if ok && !bytes.Equal(got.AppendTo(nil, k), value) {
			t.Fatalf("a value is accepted that is not spelled as we spell it")
		}
	})
}

func mustDecode(t *testing.T, value []byte) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(string(value))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
