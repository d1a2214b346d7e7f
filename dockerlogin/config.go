package dockerlogin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// maxDepth is the deepest nesting of a configuration file that is edited. Docker's own files have 3 levels.
const maxDepth = 100

// The keys of a configuration file that have to do with logins.
const (
	authsKey   = "auths"
	helpersKey = "credHelpers"
	storeKey   = "credsStore"
)

// config is the content of a configuration file. It is not written by Docker's library, which drops the keys that it does not
// know.
type config struct {
	file, auths, helpers *object
	// docker is what Docker's library reads in the file.
	docker *configfile.ConfigFile
}

// parseConfig parses a configuration file; an empty one stands for {}. It accepts only files that everyone reads in the same
// way. An error continues the sentence "The file …". It does not quote values, which may be passwords.
func parseConfig(content []byte) (*config, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		content = []byte("{}")
	}
	if !json.Valid(content) {
		return nil, errors.New("must be a JSON object")
	}
	if depth(content) > maxDepth {
		return nil, fmt.Errorf("must not be nested more than %d levels deep", maxDepth)
	}
	file, err := parseObject(content)
	if err != nil {
		return nil, err
	}
	for _, key := range file.keys {
		for _, name := range []string{authsKey, helpersKey, storeKey} {
			// Docker ignores the case, other tools do not.
			if key != name && strings.EqualFold(key, name) {
				return nil, fmt.Errorf("must spell the key %q as %q", key, name)
			}
		}
	}
	c := &config{file: file}
	if c.auths, err = file.child(authsKey); err != nil {
		return nil, err
	}
	if c.helpers, err = file.child(helpersKey); err != nil {
		return nil, err
	}
	if c.docker, err = dockerconfig.LoadFromReader(bytes.NewReader(content)); err != nil {
		return nil, errors.New("is not valid: Docker cannot read it")
	}
	return c, nil
}

// encode returns the file's content, indented with tabs like Docker's.
func (c *config) encode() []byte {
	c.file.setChild(authsKey, c.auths)
	c.file.setChild(helpersKey, c.helpers)
	var content bytes.Buffer
	_ = json.Indent(&content, c.file.encode(), "", "\t") // cannot fail for valid JSON
	content.WriteByte('\n')
	return content.Bytes()
}

// depth returns how deep valid JSON is nested.
func depth(content []byte) int {
	level, deepest, inString := 0, 0, false
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// object is a JSON object. It keeps the order of its keys, and the text of the values that are not set.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

// parseObject parses a JSON object in valid JSON.
func parseObject(content []byte) (*object, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	o := &object{values: map[string]json.RawMessage{}}
	for decoder.More() {
		token, _ := decoder.Token() // valid JSON has a key here, and a value after it
		key, _ := token.(string)
		if _, found := o.values[key]; found {
			return nil, fmt.Errorf("must not have the key %q more than once", text.Shorten(key))
		}
		var value json.RawMessage
		_ = decoder.Decode(&value)
		o.set(key, value)
	}
	return o, nil
}

// child returns the object under a key; an empty one if there is none.
func (o *object) child(key string) (*object, error) {
	value, found := o.values[key]
	if !found || string(value) == "null" {
		return &object{values: map[string]json.RawMessage{}}, nil
	}
	child, err := parseObject(value)
	if err != nil {
		return nil, fmt.Errorf("is not valid under %q: it %w", key, err)
	}
	return child, nil
}

func (o *object) set(key string, value json.RawMessage) {
	if _, found := o.values[key]; !found {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func (o *object) remove(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// setChild sets the object under a key, unless both are empty.
func (o *object) setChild(key string, child *object) {
	if _, found := o.values[key]; found || len(child.keys) > 0 {
		o.set(key, child.encode())
	}
}

func (o *object) encode() []byte {
	var encoded bytes.Buffer
	for i, key := range o.keys {
		if i > 0 {
			encoded.WriteByte(',')
		}
		name, _ := json.Marshal(key) // a string is always valid
		encoded.Write(name)
		encoded.WriteByte(':')
		encoded.Write(o.values[key])
	}
	return slices.Concat([]byte("{"), encoded.Bytes(), []byte("}"))
}
