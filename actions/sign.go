package actions

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// signingKey returns the key of a Standard Webhooks secret: base64 after
// whsec_, or any other text as it is.
func signingKey(secret string) ([]byte, error) {
	switch encoded, ok := strings.CutPrefix(secret, "whsec_"); {
	case ok:
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) == 0 {
			return nil, errors.New("what follows whsec_ is not base64")
		}
		return key, nil
	case secret == "":
		return nil, errors.New("the secret is empty")
	case strings.HasPrefix(secret, "whsk_") || strings.HasPrefix(secret, "whpk_"):
		return nil, errors.New("ed25519 keys (whsk_, whpk_) are not supported; use a whsec_ secret")
	}
	return []byte(secret), nil
}

// signature returns the value of webhook-signature: one "v1," HMAC-SHA256 of
// "id.timestamp.body" per key, so that a receiver may have either of two
// secrets while they are rotated.
func signature(keys [][]byte, id string, timestamp int64, body []byte) string {
	signed := append([]byte(id+"."+strconv.FormatInt(timestamp, 10)+"."), body...)
	all := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " ")
}

// traceparent returns the W3C trace context of an attempt. The trace is derived
// from the firing's ID, so all its attempts are one trace, before and after a
// restart; the span is the attempt's own.
func traceparent(id string, attempt int) string {
	trace := sha256.Sum256([]byte(id))
	span := sha256.Sum256([]byte(id + " " + strconv.Itoa(attempt)))
	return "00-" + hex.EncodeToString(trace[:16]) + "-" + hex.EncodeToString(span[:8]) + "-01"
}
