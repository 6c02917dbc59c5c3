package webhook

import "testing"

// TestSignature has the example of the Standard Webhooks reference libraries,
// and test 1 of RFC 8032 section 7.1 for the key of an ed25519 signature.
func TestSignature(t *testing.T) {
	const seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	for name, test := range map[string]struct{ secret, want string }{
		"hmac":               {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		"ed25519":            {"whsk_" + seed, ""},
		"ed25519, both keys": {"whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==", ""},
	} {
		sign, err := newSigner(test.secret)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if test.want == "" { // RFC 8032 signs the empty message
			const want = "v1a,5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw=="
			if got := sign(nil); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
			continue
		}
		got := signature([]signer{sign}, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}
