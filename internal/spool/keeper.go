package spool

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The keeper is a goroutine that does what the disk takes its time for and no commit has to wait for: it makes the
// file of the next segment ahead, finishes the one that is full, and with SyncOS syncs the open one. It takes
// one job after the other, so segments reach Next in the order of their numbers. There is one spare at most, and a
// committer that finds none waits: a keeper that falls behind makes nothing grow.
func (s *Spool) keepLoop() {
	var tick <-chan time.Time
	if s.o.Sync == SyncOS {
		t := time.NewTicker(osSyncInterval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case job, more := <-s.jobs:
			if !more {
				return
			}
			job()
		case <-tick:
			s.syncOpen()
		}
	}
}

// mostUnsealed is how many segments there are at most that were written to and that the keeper has not finished: the one
// that it is at, one behind it, and the open one.
const mostUnsealed = 3

// orderNext has the next segment made ahead.
func (s *Spool) orderNext() {
	s.ordered = true
	s.jobs <- func() {
		var w *writer
		if s.failure() == nil {
			w, _ = s.create() // no room: the committer tries again when it needs one, and says so
		}
		s.spares <- w
		s.nudge() // it may wait with sealing
	}
}

// hasNext says that takeNext would not wait.
func (s *Spool) hasNext() bool { return !s.ordered || len(s.spares) > 0 }

// takeNext returns the segment that was made ahead, or makes one.
func (s *Spool) takeNext() (*writer, error) {
	if s.ordered {
		w := <-s.spares
		s.ordered = false
		if w != nil {
			return w, nil
		}
	}
	if err := s.failure(); err != nil {
		return nil, err
	}
	return s.create()
}

// dropSpare closes what was made ahead, when committer and keeper have ended. Its file stays for the next start: by its
// number that knows which ones there were before.
func (s *Spool) dropSpare() {
	if !s.ordered {
		return
	}
	if w := <-s.spares; w != nil {
		_ = w.file.Close() // it is empty
	}
}

// seal ends the open segment. The keeper finishes it.
func (s *Spool) seal() {
	w := s.writer
	s.writer = nil
	s.jobs <- func() { s.finish(w) }
}

// finish closes a segment and hands it to Next. The seal frame only tells a later reader that nothing
// is missing at the end: without it (no room, power loss) the segment has the same records.
func (s *Spool) finish(w *writer) {
	if s.failure() != nil {
		_ = w.file.Close() // the next Open reads what is there
		return
	}
	frame := appendSeal(nil, w.records, s.millis())
	finishFrames(frame, w.seed, w.sequence)
	err := writeAt(w.file, frame, w.size)
	if err == nil {
		w.size += int64(len(frame))
	} else if noRoom(err) {
		s.log.Info("no room for a seal frame", "segment", w.seg.number)
		err = nil
	}
	s.unsynced.CompareAndSwap(w, nil)
	if err == nil && s.o.Sync == SyncOS {
		err = w.file.Sync() // what ClickHouse has been sent must not grow or shrink later
	}
	if err = errors.Join(err, w.file.Close()); err != nil {
		_ = s.fail(fmt.Errorf("seal segment %d: %w", w.seg.number, err)) // told by Failed
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used.Add(w.size - w.seg.bytes)
	w.seg.bytes = w.size
	s.unsealed = slices.Delete(s.unsealed, 0, 1) // segments are finished by number
	s.sealed = append(s.sealed, w.seg)
	s.announce()
}

// syncOpen is SyncOS's promise: what was answered is on the disk a moment later.
func (s *Spool) syncOpen() {
	if w := s.unsynced.Swap(nil); w != nil {
		if err := w.file.Sync(); err != nil {
			_ = s.fail(fmt.Errorf("sync segment %d in the background: %w", w.seg.number, err)) // told by Failed
		}
	}
}
