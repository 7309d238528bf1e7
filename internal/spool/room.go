package spool

import "time"

// How near the bound is. Records leave a 64th of it to the counters, which tell of the refusals. From 7/8 on a
// caller that can choose should keep the rest for what matters.
func fullAt(bound int64) int64    { return bound - bound/64 }
func crowdedAt(bound int64) int64 { return bound - bound/8 }

// Crowded reports whether the spool is nearly full. It costs two reads of memory, so it may be asked for each
// record. Append itself refuses only when the spool is full.
func (s *Spool) Crowded() bool { return s.used.Load() >= crowdedAt(s.bound.Load()) }

// measureEvery is how long a neighbour that fills the disk stays unseen. What the spool writes itself is known
// without measuring.
const measureEvery = 100 * time.Millisecond

func (s *Spool) roomLoop() {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case <-tick.C:
			s.measureRoom()
		}
	}
}

// measureRoom lowers the bound to what fits on the disk beside the reserve, and raises it again. So a disk that
// fills up ends in ErrFull while there is still room to finish batches, and before a write fails.
func (s *Spool) measureRoom() {
	free, total, err := s.fs.Space(s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	bound := s.o.MaxBytes
	if err == nil {
		bound = min(bound, s.used.Load()+free-min(s.o.Reserve, total/20))
	}
	was := s.bound.Swap(bound)
	switch {
	case err != nil && !s.blind:
		s.log.Warn("the disk does not tell its free space: only the setting bounds the spool now", "error", err)
	case bound < s.o.MaxBytes && was >= s.o.MaxBytes:
		s.log.Warn("the disk has less room than the spool may use", "free", free, "spool_bytes", s.used.Load(), "spool_bound_now", max(0, bound), "spool_bound", s.o.MaxBytes)
	case bound >= s.o.MaxBytes && was < s.o.MaxBytes:
		s.log.Info("the disk has room for the whole spool again", "free", free)
	}
	s.blind = err != nil
}
