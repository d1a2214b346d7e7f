package secret

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Scrub replaces every occurrence of the secrets in text, which came from outside (a server's message, a program's
// output), by [Redacted]: as they are, in base64 and base64url, with and without padding, and encoded for a URL. Secrets of
// fewer than four characters are left alone: replacing those would tell where they stand rather than hide them.
func Scrub(text string, secrets ...Text) string {
	const shortest = 4
	for _, s := range secrets {
		plain := s.Reveal()
		if len(plain) < shortest {
			continue
		}
		raw := []byte(plain)
		// Without padding: what follows the match is then at most two signs that tell nothing.
		for _, form := range []string{plain, base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), url.QueryEscape(plain), url.PathEscape(plain)} {
			text = strings.ReplaceAll(text, form, Redacted)
		}
	}
	return text
}

// Keeper knows every secret of a run, to take them out of all that is shown, whoever put them there: a server may repeat
// in its answer what was sent to it. Its methods may be called from several goroutines.
type Keeper struct {
	mu      sync.Mutex
	secrets []Text
}

// Keep adds secrets. Those that are kept already are passed over, and those of fewer than eight characters, which guard
// nothing, and may be a part of words that have to be read.
func (k *Keeper) Keep(secrets ...Text) {
	const shortest = 8

	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range secrets {
		if len(s.Reveal()) >= shortest && !slices.ContainsFunc(k.secrets, s.Equal) {
			k.secrets = append(k.secrets, s)
		}
	}
}

// Scrub takes all secrets out of a text, as the function [Scrub] does.
func (k *Keeper) Scrub(text string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Scrub(text, k.secrets...)
}
