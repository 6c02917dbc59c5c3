package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"

	"triggerd/internal/tmpl"
)

// setAttributes splits a CloudEvent in the JSON format into the headers and
// the body of binary mode, and returns the body (CloudEvents HTTP protocol
// binding 1.0.2 section 3.1). An attribute too long for a header is left out;
// only the optional subject can be, and the data has the key as well.
func setAttributes(h http.Header, structured []byte) (data []byte, err error) {
	var event map[string]json.RawMessage
	if err := json.Unmarshal(structured, &event); err != nil {
		return nil, fmt.Errorf("split the event: %w", err)
	}
	for name, raw := range event {
		if name == "data" || name == "datacontenttype" { // the latter is Content-Type
			continue
		}
		value := string(raw) // of a number or boolean
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &value); err != nil {
				return nil, fmt.Errorf("split the event: %s: %w", name, err)
			}
		}
		if value = encodeAttribute(value); len(value) <= maxHeader {
			h.Set("Ce-"+name, value)
		}
	}
	return event["data"], nil
}

// attributeHeaders are the headers of binary mode that are not the user's to
// set. Others that begin with ce- are extensions.
var attributeHeaders = []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type", "Ce-Subject", "Ce-Time", "Ce-Datacontenttype"}

// encodeAttribute percent-encodes what a header of binary mode cannot have
// as it is: space, quote, percent and all that is not printable ASCII
// (section 3.1.3.2).
func encodeAttribute(s string) string {
	return tmpl.Encode(s, func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' })
}
