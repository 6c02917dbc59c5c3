// Package excerpt shows people a part of a text that nobody vouches for: a key,
// an answer, what a program wrote. What it returns is printable, and says how
// much of the text is missing.
//
//	excerpt.Short("a\nb", 1) // a...(+2 bytes)
//
//	var out excerpt.Ends // a writer that keeps the beginning and the end
//	_, err := io.Copy(&out, stdout)
//	shown := out.Text(secrets, false)
//
// Secrets are masked before a text is cut: a part of a secret is none that a
// secret.Masker would find.
package excerpt
