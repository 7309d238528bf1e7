package privacy

import "unsafe"

// Scratch is the memory of one request's texts. Its methods reduce as the functions of the package do, but
// append what is kept to one buffer, so that a request allocates nothing once the buffer has grown.
//
// What they return is good until Reset: an event made of it must be written down before. Reset overwrites
// the texts, so that one which was kept too long reads as zero bytes and never as another visitor's.
// A nil Scratch makes texts of their own, which live as long as somebody refers to them; so do the functions.
//
// The zero value is ready. It is not safe for concurrent use.
type Scratch struct{ b []byte }

const (
	minScratch = 512      // a page view has about 60 bytes
	maxScratch = 64 << 10 // a full batch; what had to grow beyond it is given back
)

// text copies b.
func (s *Scratch) text(b []byte) string {
	switch {
	case s == nil:
		return string(b)
	case len(b) == 0:
		return ""
	case len(b) > cap(s.b)-len(s.b):
		s.b = make([]byte, 0, max(minScratch, 2*cap(s.b), len(b))) // earlier texts keep the old one alive
	}
	start := len(s.b)
	s.b = append(s.b, b...)
	return unsafe.String(&s.b[start], len(b))
}

// Reset ends the life of every text.
func (s *Scratch) Reset() {
	clear(s.b)
	s.b = s.b[:0]
	if cap(s.b) > maxScratch {
		s.b = nil
	}
}
