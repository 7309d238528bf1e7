package eligibility

// Reason says why a visitor gets an offer or does not (docs/design.md). The list is closed: storefronts
// and reports switch on these words.
type Reason uint8

// The reasons.
const (
	ReasonNone       Reason = iota // a gate that was passed
	Match                          // the offer is given
	Default                        // no rule matched
	Holdout                        // eligible, but drawn to get nothing
	Outranked                      // another offer won; never the reason of a whole reply
	Cooldown                       // served too recently
	Capped                         // served too often in 30 days
	MinCart                        // the cart is worth too little
	TooNew                         // the visitor has not been known for long enough
	Abandoner                      // too many grants ran out unused
	NotStarted                     // before the offer's schedule
	Ended                          // after it
	NoConsent                      // the lane allows no personal offer
	OptedOut                       // the opt-out cookie
	Bot                            // a program
	NoVisitor                      // no valid visitor cookie, or nothing known under it
	Stale                          // what is known is too old, or could not be read
	Disabled                       // switched off in the sites file
	EvaluationFailed               // the rule failed; the caller counts Verdict.Err

	ReasonCount // how many there are, ReasonNone included
)

var reasonNames = [...]string{
	Match: "TARGETING_MATCH", Default: "DEFAULT", Holdout: "HOLDOUT", Outranked: "OUTRANKED", Cooldown: "COOLDOWN",
	Capped: "CAPPED", MinCart: "MIN_CART", TooNew: "TOO_NEW", Abandoner: "ABANDONER", NotStarted: "NOT_STARTED",
	Ended: "ENDED", NoConsent: "NO_CONSENT", OptedOut: "OPTED_OUT", Bot: "BOT", NoVisitor: "NO_VISITOR",
	Stale: "STALE", Disabled: "DISABLED", EvaluationFailed: "ERROR",
}

// String is the word of the wire contract.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return ""
}
