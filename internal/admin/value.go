package admin

import "encoding/json"

// KeyValue is the value of a key, as far as it is kept for rules. Its JSON form
// is that of the API.
type KeyValue struct {
	Kept  bool            `json:"kept"`           // some rule has values of such keys kept
	Known bool            `json:"known"`          // the value is
	Type  string          `json:"type,omitempty"` // as TYPE says it; "none" for a key that is not there
	Size  int             `json:"size"`           // bytes of a string, elements of all else
	Cut   bool            `json:"cut,omitempty"`  // Value is only its beginning
	Value json.RawMessage `json:"value"`          // in the form that deliveries have
}
