package dockerlogin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The keys of a configuration file that have to do with logins.
const (
	authsKey   = "auths"
	helpersKey = "credHelpers"
	storeKey   = "credsStore"
)

// config is the content of a configuration file. Values other than logins are kept as they are.
type config struct {
	file, auths map[string]json.RawMessage
	helpers     map[string]string
	store       string
}

// authConfig is a login in a configuration file: USERNAME:PASSWORD, in base64.
type authConfig struct {
	Auth []byte `json:"auth"`
}

// parseConfig parses a configuration file that all programs read the same way, or that is empty. An error
// continues the sentence "The file …" and doesn't quote values, which may be passwords.
func parseConfig(content []byte) (c config, err error) {
	content = bytes.TrimSpace(content)
	if len(content) > 0 && !json.Valid(content) {
		return c, errors.New("must be a JSON object")
	}
	if c.file, err = parseObject[json.RawMessage](content); err != nil {
		return c, err
	}
	for key := range c.file {
		for _, name := range []string{authsKey, helpersKey, storeKey} {
			// Docker ignores case. Other tools don't.
			if key != name && strings.EqualFold(key, name) {
				return c, fmt.Errorf("must spell the key %q as %q", key, name)
			}
		}
	}
	if c.auths, err = parseObject[json.RawMessage](c.file[authsKey]); err != nil {
		return c, fmt.Errorf("is not valid under %q: it %w", authsKey, err)
	}
	for host, login := range c.auths {
		if json.Unmarshal(login, &authConfig{}) != nil {
			return c, fmt.Errorf("is not valid under %q: Docker cannot read the login to %q", authsKey, host)
		}
	}
	if c.helpers, err = parseObject[string](c.file[helpersKey]); err != nil {
		return c, fmt.Errorf("is not valid under %q: it %w", helpersKey, err)
	}
	if store, found := c.file[storeKey]; found && json.Unmarshal(store, &c.store) != nil {
		return c, fmt.Errorf("is not valid under %q: it must be a string", storeKey)
	}
	return c, nil
}

// parseObject parses an object in valid JSON. Empty content and null are the same as {}. Repeated
// keys are an error: a map alone would silently drop them.
func parseObject[V any](content json.RawMessage) (map[string]V, error) {
	object := map[string]V{}
	if len(content) == 0 || string(content) == "null" {
		return object, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	for decoder.More() {
		token, _ := decoder.Token() // valid JSON has a key here
		key, _ := token.(string)
		if _, found := object[key]; found {
			return nil, fmt.Errorf("must not have the key %q more than once", key)
		}
		var value V
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("must have a string under %q", key)
		}
		object[key] = value
	}
	return object, nil
}

// encode returns the file's content, indented with tabs like Docker's.
func (c config) encode() ([]byte, error) {
	file := map[string]any{}
	for key, value := range c.file {
		file[key] = value
	}
	file[authsKey] = c.auths
	file[helpersKey] = c.helpers
	if len(c.helpers) == 0 {
		delete(file, helpersKey)
	}
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false) // would change values
	encoder.SetIndent("", "\t")
	err := encoder.Encode(file)
	return content.Bytes(), err
}

// add adds a login, in the form in which docker login writes it, and an empty helper if a credentials
// store or a credential helper would take precedence. The entry has what the empty helper replaced.
func (c config) add(login Login) Entry {
	encoded, _ := json.Marshal(authConfig{Auth: []byte(ecrUsername + ":" + login.Password.Reveal())}) // cannot fail
	c.auths[login.Host] = encoded
	entry := Entry{Host: login.Host, Digest: digest(encoded), Expires: login.Expires}
	if helper, found := c.helpers[login.Host]; helper != "" || (!found && c.store != "") {
		c.helpers[login.Host], entry.Helper = "", &helper
	}
	return entry
}

// remove removes a login unless it has changed since it was written, and restores the helper that
// it replaced. It reports whether it removed the login, and whether it restored a helper.
func (c config) remove(e Entry) (isRemoved, isRestored bool) {
	login, isRemoved := c.auths[e.Host]
	if isRemoved && digest(login) != e.Digest {
		return false, false
	}
	delete(c.auths, e.Host)
	helper, found := c.helpers[e.Host]
	if isRestored = e.Helper != nil && found && helper == ""; isRestored {
		c.helpers[e.Host] = *e.Helper
		if *e.Helper == "" {
			delete(c.helpers, e.Host)
		}
	}
	return isRemoved, isRestored
}

// digest identifies a login in a file without revealing it.
func digest(login json.RawMessage) string {
	var auth authConfig
	_ = json.Unmarshal(login, &auth) // parseConfig has checked it
	sum := sha256.Sum256(auth.Auth)
	return hex.EncodeToString(sum[:])
}
