package visits

import "testing"

func TestWhatIsLeftOutOfTheBarsHasABarToo(t *testing.T) {
	f := func(killed, down, lost int, fine bool) {
		t.Helper()
		var by [len(Endings)]Tally
		by[Closed].Visits = 100 - killed - down
		by[Killed] = Tally{Visits: killed, Told: killed, Lost: make([]string, killed)} // they may lose all
		by[Down] = Tally{Visits: down, Told: 100, Lost: make([]string, lost)}
		if err := Excused(by); (err == nil) != fine {
			t.Errorf("%d killed, %d of 100 lost while down: %v", killed, lost, err)
		}
	}
	f(0, 0, 0, true)
	f(3, 16, 25, true)
	f(4, 16, 0, false)
	f(0, 16, 26, false)
}
