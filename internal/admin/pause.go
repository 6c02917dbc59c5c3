package admin

import "time"

// Pause is why and how long something is paused.
type Pause struct {
	Until  time.Time `json:"until,omitzero"`   // when it ends by itself; zero: it does not
	Reason string    `json:"reason,omitempty"` // as whoever made it wrote
	By     string    `json:"by,omitempty"`     // who made it: a user of the machine, or an address and which token
}
