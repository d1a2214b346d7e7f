// Package profile makes an AWS profile whose credentials renew by themselves: a section of AWS's configuration file
// ([ConfigFile]) names a program as its credential process, which is kept, with what it needs, in a folder of the user's
// ([Folder]) and hands out credentials from a cache that all processes share ([Cache]).
//
// Every file is replaced whole, under a lock, and holds no more than it has to: the build's API token stands in none.
//
// The package may import internal packages. It knows neither how credentials are got (it takes a function that gets them),
// nor what the settings of a session mean, nor the Step's inputs.
package profile

import (
	"context"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// patience is how long taking back waits for a lock. The run that it cleans up after may have ended by a signal, and then
// has a second.
const patience = 300 * time.Millisecond

func lockSoon(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return sharedfile.Lock(ctx, path)
}

func lockFileSoon(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return sharedfile.LockFile(ctx, path)
}
