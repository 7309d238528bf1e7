package privacy

import "testing"

func TestChooseExamples(t *testing.T) {
	decide, measure, deny := &Choice{Decide: true, Measure: true}, &Choice{Measure: true}, &Choice{}
	f := func(why string, p Policy, s Signals, lane Lane, cause Cause) {
		t.Helper()
		if l, c := Choose(p, s); l != lane || c != cause {
			t.Errorf("%s: Choose = %v %v, want %v %v", why, l, c, lane, cause)
		}
	}
	open := Policy{Default: LaneDecide, Allow: LaneDecide}
	shut := Policy{Allow: LaneDecide}
	f("nothing configured, nothing known", Policy{}, Signals{}, LaneCount, CauseDefault)
	f("a choice may not raise where nothing is allowed", Policy{}, Signals{Choice: decide}, LaneCount, CauseChoice)
	f("the default", open, Signals{}, LaneDecide, CauseDefault)
	f("a choice raises", shut, Signals{Choice: decide}, LaneDecide, CauseChoice)
	f("a denial lowers", open, Signals{Choice: deny}, LaneCount, CauseDenied)
	f("a choice may be for reports alone", open, Signals{Choice: measure}, LaneMeasure, CauseChoice)
	f("so may a default", Policy{Default: LaneMeasure, Allow: LaneDecide}, Signals{}, LaneMeasure, CauseDefault)
	f("a choice raises no further than allowed", Policy{Allow: LaneMeasure}, Signals{Choice: decide}, LaneMeasure, CauseChoice)
	f("a recorded choice stands", shut, Signals{Recorded: LaneDecide}, LaneDecide, CauseRecorded)
	f("unless the site allows less by now", Policy{Allow: LaneCount}, Signals{Recorded: LaneDecide}, LaneCount, CauseRecorded)
	f("a new choice replaces it", shut, Signals{Recorded: LaneDecide, Choice: deny}, LaneCount, CauseDenied)

	local := Policy{Default: LaneDecide, Allow: LaneDecide, Countries: map[string]Lane{"DE": LaneCount, "CH": LaneNone}}
	f("a country has its own default", local, Signals{Country: "DE"}, LaneCount, CauseCountry)
	f("the same for one named without a lane", local, Signals{Country: "CH"}, LaneCount, CauseCountry)
	f("other countries have the site's", local, Signals{Country: "US"}, LaneDecide, CauseDefault)
	f("so has an unknown one", local, Signals{}, LaneDecide, CauseDefault)
	f("a choice raises there too", local, Signals{Country: "DE", Choice: decide}, LaneDecide, CauseChoice)
	f("a country may be more open than the site", Policy{Countries: map[string]Lane{"US": LaneDecide}}, Signals{Country: "US"}, LaneDecide, CauseCountry)

	f("GPC lowers", open, Signals{GPC: true}, LaneCount, CauseGPC)
	f("GPC lowers a choice", open, Signals{GPC: true, Choice: decide}, LaneCount, CauseGPC)
	f("GPC lowers a recorded choice", open, Signals{GPC: true, Recorded: LaneDecide}, LaneCount, CauseGPC)
	f("GPC is named though the default is as low", shut, Signals{GPC: true}, LaneCount, CauseGPC)
	f("DNT lowers", open, Signals{DNT: true, Choice: decide}, LaneCount, CauseDNT)
	f("the opt-out is the strongest", open, Signals{GPC: true, DNT: true, OptOut: true, Choice: decide}, LaneCount, CauseOptOut)
	f("GPC is named before DNT", open, Signals{GPC: true, DNT: true}, LaneCount, CauseGPC)

	mild := Policy{Default: LaneDecide, Allow: LaneDecide, GPC: LaneMeasure}
	f("a site may measure under GPC", mild, Signals{GPC: true}, LaneMeasure, CauseGPC)
	f("whatever was chosen", mild, Signals{GPC: true, Choice: decide}, LaneMeasure, CauseGPC)
	f("DNT is then the one that lowers most", mild, Signals{GPC: true, DNT: true}, LaneCount, CauseDNT)
	f("GPC does not raise a denial", mild, Signals{GPC: true, Choice: deny}, LaneCount, CauseDenied)
	f("nor a default, and says more than that", Policy{Allow: LaneDecide, GPC: LaneMeasure}, Signals{GPC: true}, LaneCount, CauseGPC)
	f("no policy lets GPC pass", Policy{Default: LaneDecide, GPC: LaneDecide}, Signals{GPC: true}, LaneMeasure, CauseGPC)
}

// TestChooseNeverExceeds walks every combination of policy and signals and holds the sentences of
// docs/privacy.md against each.
func TestChooseNeverExceeds(t *testing.T) {
	lanes := []Lane{LaneNone, LaneCount, LaneMeasure, LaneDecide}
	choices := []*Choice{nil, {}, {Measure: true}, {Decide: true, Measure: true}}
	bools := []bool{false, true}
	combinations := 0
	for _, def := range lanes {
		for _, allow := range lanes {
			for _, gpcLane := range lanes {
				for _, german := range append([]Lane{99}, lanes...) { // 99: no override
					p := Policy{Default: def, Allow: allow, GPC: gpcLane}
					base := max(def, LaneCount)
					if german != 99 {
						p.Countries = map[string]Lane{"DE": german}
						base = max(german, LaneCount)
					}
					for _, choice := range choices {
						for _, recorded := range lanes {
							for i := range 8 {
								s := Signals{GPC: bools[i&1], DNT: bools[i>>1&1], OptOut: bools[i>>2&1], Choice: choice, Recorded: recorded, Country: "DE"}
								checkChoice(t, p, s, base)
								combinations++
							}
						}
					}
				}
			}
		}
	}
	if combinations != 4*4*4*5*4*4*8 {
		t.Fatalf("%d combinations", combinations)
	}
}

// checkChoice says in other words than Choose what has to come out. base is the default that applies.
func checkChoice(t *testing.T, p Policy, s Signals, base Lane) {
	t.Helper()
	lane, cause := Choose(p, s)
	fail := func(why string) {
		t.Helper()
		t.Fatalf("%s: Choose(%+v, %+v, choice %+v) = %v %v", why, p, s, s.Choice, lane, cause)
	}
	// What was said last of: the site's default, an earlier choice, a choice; as far as the site goes.
	want := base
	if s.Recorded != LaneNone {
		want = min(s.Recorded, max(base, p.Allow))
	}
	if s.Choice != nil {
		want = min(s.Choice.lane(), max(base, p.Allow))
	}
	if s.GPC && p.GPC >= LaneMeasure {
		want = min(want, LaneMeasure)
	} else if s.GPC {
		want = LaneCount
	}
	if s.DNT || s.OptOut {
		want = LaneCount
	}
	signal := s.GPC || s.DNT || s.OptOut
	switch {
	case lane != want:
		fail("want lane " + want.String())
	case cause == CauseNone || cause == CauseNoKey:
		fail("no cause, or one of another time")
	case s.OptOut && cause != CauseOptOut:
		fail("the opt-out is not named")
	case !s.GPC && cause == CauseGPC, !s.DNT && cause == CauseDNT, !s.OptOut && cause == CauseOptOut:
		fail("a signal is named that was not sent")
	case (cause == CauseChoice || cause == CauseDenied) && s.Choice == nil, cause == CauseRecorded && s.Recorded == LaneNone:
		fail("a choice is named that nobody made")
	case cause == CauseCountry && p.Countries == nil, cause == CauseDefault && p.Countries != nil:
		fail("the wrong default is named")
	case s.Choice != nil && s.Choice.lane() == LaneCount && !signal && cause != CauseDenied:
		fail("a denial is not named")
	}
	// Only somebody's will ends what a cookie says, and it always does.
	if will := signal || s.Choice != nil; ExpiresVisit(lane, cause) != (will && lane < LaneDecide) {
		fail("the cookie is expired, or kept, against the visitor's will")
	}
	// Signals only lower.
	quiet := s
	quiet.GPC, quiet.DNT, quiet.OptOut = false, false, false
	if without, _ := Choose(p, quiet); lane > without {
		fail("a signal raised the lane")
	}
}
