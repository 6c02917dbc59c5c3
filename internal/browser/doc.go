// Package browser runs a real Chromium for tests. It speaks the Chrome DevTools
// Protocol over the debugging pipe, so that it needs no module, no port and no
// other program.
//
//	p := browser.Open(t, browser.Options{})
//	p.Go("http://127.0.0.1:9797/")
//	p.Wait(`document.body.innerText.includes("stock:7")`)
//	p.Click("#pause")
//
// Open fetches Debian's chromium-headless-shell through apt, without installing
// it, into $TRIGGERD_BROWSER, else below the user's cache directory. Where it
// cannot be had the test fails if CI is set, and is skipped with a word
// otherwise.
//
// One browser serves all tests of a binary; each page has a context of its own,
// with its own cookies. An error ends the test. The protocol is described at
// https://chromedevtools.github.io/devtools-protocol/.
package browser
