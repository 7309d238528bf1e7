package main

import (
	"testing"

	"beckon/bench/shoppers"
)

func TestEstimateIsCloseWhereNetworksAreManyAndLowWhereTheyAreFew(t *testing.T) {
	f := func(networks int) counted {
		t.Helper()
		d, err := day(t.Context(), shoppers.Config{Seed: 7, Events: 600, Each: 1, Networks: networks, Concurrency: 8})
		if err != nil {
			t.Fatal(err)
		}
		if d.shoppers < 400 || d.shoppers > 600 || d.estimated > d.shoppers || d.estimated == 0 {
			t.Fatalf("%d networks: %+v", networks, d)
		}
		return d
	}
	anywhere, few, one := f(0), f(20), f(1)
	if anywhere.estimated < anywhere.shoppers*95/100 || few.estimated > few.shoppers*3/4 || one.estimated > 30 {
		t.Errorf("anywhere %+v, 20 networks %+v, one %+v", anywhere, few, one)
	}
	if anywhere.shoppers != one.shoppers {
		t.Errorf("where shoppers come from changed who they are: %+v and %+v", anywhere, one)
	}
}
