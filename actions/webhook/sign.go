package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// signer makes one signature of Standard Webhooks, with its version before it.
type signer func(signed []byte) string

// newSigner returns the signer of a Standard Webhooks secret: HMAC-SHA256 with
// what is base64 after whsec_, ed25519 with what is base64 after whsk_, or
// HMAC-SHA256 with any other text as it is. Its errors do not quote the secret.
func newSigner(secret string) (signer, error) {
	if encoded, ok := strings.CutPrefix(secret, "whsk_"); ok {
		return newAsymmetric(encoded)
	}
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil || len(key) == 0 {
			return nil, errors.New("what follows whsec_ is not base64")
		}
	}
	switch {
	case len(key) == 0:
		return nil, errors.New("the secret is empty")
	case strings.HasPrefix(secret, "whpk_"):
		return nil, errors.New("whpk_ is the public key, which the receiver has; write the secret key, whsk_, here")
	}
	return func(signed []byte) string {
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}, nil
}

// newAsymmetric takes an ed25519 key as the libraries of Standard Webhooks
// write it: the seed alone, or followed by the public key.
func newAsymmetric(encoded string) (signer, error) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize {
		return nil, errors.New("what follows whsk_ is not an ed25519 key: base64 of 32 bytes (the seed), or of 64 (seed and public key)")
	}
	key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if len(b) == ed25519.PrivateKeySize && !key.Equal(ed25519.PrivateKey(b)) {
		return nil, errors.New("the two halves of what follows whsk_ are not one ed25519 key")
	}
	return func(signed []byte) string {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed))
	}, nil
}

// signature returns the value of webhook-signature: one signature of
// "id.timestamp.body" per secret, so that a receiver may have either of two
// while they are rotated.
func signature(signers []signer, id string, timestamp int64, body []byte) string {
	signed := append([]byte(id+"."+strconv.FormatInt(timestamp, 10)+"."), body...)
	all := make([]string, len(signers))
	for i, sign := range signers {
		all[i] = sign(signed)
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
