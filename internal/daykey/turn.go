package daykey

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

const (
	// early is how long before its day a key is made. Events may be dated five minutes ahead, and the clocks
	// of hosts that share keys differ.
	early = 10 * time.Minute

	// A key is destroyed when it is as old as that, counted from the beginning of its day. Events older than
	// 24 hours are not taken, so nothing can need it any more.
	keptDays = 2 // 48 h
)

// Turn looks at the clock and the folder once: it destroys what is too old, reads what is new, makes or
// fetches what is missing. Run does it every second.
func (k *Keys) Turn(ctx context.Context) {
	if k.peer != nil {
		k.fetch(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turnLocked(k.config.Now())
}

func (k *Keys) turnLocked(now time.Time) {
	today := DayOf(now.UnixMilli())
	files, err := k.folder.list()
	if err != nil {
		k.faultLocked(ofFolder, k.folder.dir, err)
		files = nil // what cannot be seen is not believed
	} else {
		delete(k.reported, k.folder.dir)
	}
	k.destroyLocked(files, today, now)
	for _, s := range k.sites {
		for i := range s.slots {
			if held := Day(s.slots[i].day.Load() - 1); s.slots[i].file != nil && !alive(held, today) {
				s.slots[i].wipe()
			}
		}
		k.settleLocked(s, now, files, err == nil)
	}
	for name := range k.reported {
		if _, day, ok := parseName(name); ok && !alive(day, today) {
			delete(k.reported, name)
		}
	}
}

// alive reports whether a day's key may exist. One of the day after tomorrow or later was made by a clock
// that was wrong: kept, it would be older than 48 hours when its day is over.
func alive(day, today Day) bool { return day > today-keptDays && day <= today+1 }

// destroyLocked removes what is too old, and what a process left that died between making a file and naming it.
func (k *Keys) destroyLocked(files map[string]fs.FileInfo, today Day, now time.Time) {
	for name, info := range files {
		_, day, ok := parseName(name)
		old := ok && !alive(day, today)
		left := isUnfinished(name) && now.Sub(info.ModTime()).Abs() > time.Minute
		if !old && !left {
			continue
		}
		delete(files, name)
		if err := k.folder.destroy(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.faultLocked(ofFolder, name, err)
		}
	}
}

// settleLocked makes the memory of a site's keys agree with their files. A missing one is made, if that is
// not another host's part, and never for a day that is over: a key of that day may have been destroyed.
func (k *Keys) settleLocked(s *Site, now time.Time, files map[string]fs.FileInfo, makes bool) {
	today := DayOf(now.UnixMilli())
	for day := today - 1; day <= today+1; day++ {
		near := day == today || day > today && day.start().Sub(now) <= early
		k.settleDayLocked(s, day, files[fileName(s.id, day)], makes && near && k.peer == nil)
	}
}

// settleDayLocked does so for one day. info is that of the key's file, nil when there is none.
func (k *Keys) settleDayLocked(s *Site, day Day, info fs.FileInfo, makes bool) {
	name, place := fileName(s.id, day), s.slot(day)
	if info != nil && place.holds(day) && place.file.is(info) {
		return
	}
	if place.holds(day) {
		place.wipe() // its file is gone, or another one
	}
	var r record
	defer r.wipe()
	var err error
	switch {
	case info != nil:
		err = k.folder.read(name, &r)
	case makes:
		err = k.folder.make(name, &r)
	default:
		return
	}
	if err == nil {
		err = r.check(s.id, day)
	}
	if err != nil {
		k.faultLocked(ofFolder, name, err)
		return
	}
	delete(k.reported, name)
	place.write(day, r.key(), r.file)
}
